// Discovers Spack's installation and scopes, and the source of each value that stave uses. `stave config` prints the
// result; every verb that needs a store, a mirror or an environment starts from it.
import { resolve } from "node:path";
import { unpaddedRoot } from "../store/padding.ts";
import { wholeFile } from "../text/yaml.ts";
import { Configuration } from "./config.ts";
import { type ContainerSection, containerSection } from "./container.ts";
import { expandUser, type Host } from "./machine.ts";
import { type Mirror, mirrors } from "./mirror.ts";
import type { ConfigNote } from "./scopes.ts";
import {
  environmentsRoot,
  type Inspection,
  type InstallTree,
  installTree,
  type LockSettings,
  layout,
  lockSettings,
  type NetworkSettings,
  networkSettings,
  prefixInspections,
  type Upstream,
  upstreams,
} from "./settings.ts";
import { findInstallation, type Installation } from "./spack-installation.ts";
import {
  type EnvironmentFolder,
  findCustomScope,
  findEnvironment,
  type Manifest,
  readManifest,
  unify,
  type View,
  views,
} from "./spack-yaml.ts";
import { type Toolchains, toolchains } from "./toolchains.ts";

/** The relevant options of the command line. */
export interface DiscoverOptions {
  readonly host: Host;
  /** `--spack`: an installation's folder or its `bin/spack`. */
  readonly spack?: string | undefined;
  /** `-e`: an environment's name or folder; `false` for none, even if `$SPACK_ENV` is set. */
  readonly environment?: string | false | undefined;
  /** `-C`: folders or environments as additional scopes. */
  readonly scopes?: readonly string[] | undefined;
  /** Single settings, `config:key:value`. */
  readonly settings?: readonly string[] | undefined;
  /** `--store`: the install tree. */
  readonly store?: string | undefined;
}

/** The store in use, and what selected it. */
export interface ChosenStore {
  readonly tree: InstallTree;
  readonly from: "--store" | "STAVE_STORE" | "configuration";
}

/** An environment with the content of its manifest and configuration. */
export interface DiscoveredEnvironment extends EnvironmentFolder {
  readonly contents: Manifest | undefined;
  readonly views: readonly View[];
  readonly unify: boolean | "when_possible";
  readonly container: ContainerSection | undefined;
}

/** The result of a discovery. */
export interface Discovery {
  readonly configuration: Configuration;
  readonly installation: Installation | undefined;
  readonly environment: DiscoveredEnvironment | undefined;
  readonly environmentsRoot: string | undefined;
  /** Undefined if neither an option, a variable, Spack nor configuration names one. */
  readonly store: ChosenStore | undefined;
  readonly upstreams: readonly Upstream[];
  readonly mirrors: readonly Mirror[];
  readonly locks: LockSettings;
  readonly network: NetworkSettings;
  readonly inspections: readonly Inspection[];
  readonly toolchains: Toolchains;
  readonly notes: readonly ConfigNote[];
}

/**
 * Finds Spack, its configuration and environment, and the parts that stave uses. Reads files but uses no network.
 * Throws CONFIG_INVALID with file and line for errors in them, and USAGE, TOO_LARGE, FILE_SYSTEM.
 */
export function discover(options: DiscoverOptions): Discovery {
  const { configuration, installation, found } = findConfiguration(options);
  const { manifest } = found ?? {};
  const environment = found && {
    ...found,
    contents: manifest === undefined ? undefined : readManifest(manifest, configuration.context),
    views: views(configuration, found.folder),
    unify: unify(configuration),
    container: containerSection(configuration),
  };
  return {
    configuration,
    installation,
    environment,
    environmentsRoot: environmentsRoot(configuration),
    store: chosenStore(options.store, configuration),
    upstreams: upstreams(configuration),
    mirrors: mirrors(configuration),
    locks: lockSettings(configuration),
    network: networkSettings(configuration),
    inspections: prefixInspections(configuration),
    toolchains: toolchains(configuration),
    notes: configuration.notes,
  };
}

/**
 * Only the network settings, for work that needs nothing else of Spack: reads fewer files. Throws as `discover` does.
 */
export function discoverNetwork(options: DiscoverOptions): NetworkSettings {
  return networkSettings(findConfiguration(options).configuration);
}

interface Found {
  readonly configuration: Configuration;
  readonly installation: Installation | undefined;
  readonly found: EnvironmentFolder | undefined;
}

function findConfiguration(options: DiscoverOptions): Found {
  const { host, settings } = options;
  const installation = findInstallation(options.spack, host);
  const base = { host, installation, settings };
  const found = options.environment === false ? undefined : findEnvironment(options.environment, base);
  const { manifest } = found ?? {};
  const configuration = new Configuration({
    ...base,
    environment: found && manifest !== undefined ? { name: found.name, folder: found.folder, manifest } : undefined,
    custom: (options.scopes ?? []).map((scope) => findCustomScope(scope, base)),
  });
  return { configuration, installation, found };
}

function chosenStore(named: string | undefined, config: Configuration): ChosenStore | undefined {
  const { host } = config.context;
  const path = named ?? (host.env["STAVE_STORE"] || undefined);
  if (path === undefined) {
    const tree = installTree(config);
    return tree && { tree, from: "configuration" };
  }
  // An explicit path is used as it is; only its layout comes from configuration.
  const from = named === undefined ? "STAVE_STORE" : "--store";
  const root = resolve(host.cwd, expandUser(path, host));
  return { tree: { root, unpaddedRoot: unpaddedRoot(root), ...layout(config), place: wholeFile(from) }, from };
}
