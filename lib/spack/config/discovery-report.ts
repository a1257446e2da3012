// A discovery as plain data for `stave config` and `--json`, without secrets. Each value carries its place.
import { redactUserInfo } from "../../printable/secret.ts";
import { formatPlace, type Place } from "../text/yaml.ts";
import type { Discovery } from "./discover.ts";
import type { Mirror } from "./mirror.ts";

/** A value with its file and line. */
export interface Placed<T> {
  readonly value: T;
  readonly from: string;
}

/** What was found and what stave uses. Lists are ordered by precedence, highest first; paths are absolute. */
export interface DiscoveryReport {
  readonly spack: { readonly root: string; readonly version: string; readonly from: string } | null;
  readonly environment: {
    readonly name: string;
    readonly folder: string;
    readonly manifest: string | null;
    readonly lock: string | null;
    readonly unify: boolean | string;
    readonly views: readonly { readonly name: string; readonly root: string }[];
  } | null;
  /** The scopes, with those of their files that exist and were read. */
  readonly scopes: readonly {
    readonly name: string;
    readonly kind: string;
    readonly path: string | null;
    readonly files: readonly string[];
  }[];
  readonly store: {
    readonly root: string;
    readonly unpaddedRoot: string;
    readonly projections: readonly (readonly [string, string])[];
    readonly hashLength: number | null;
    readonly from: string;
  } | null;
  readonly upstreams: readonly { readonly name: string; readonly root: string; readonly from: string }[];
  readonly mirrors: readonly MirrorReport[];
  /** Seconds. */
  readonly connectTimeout: Placed<number> | null;
  readonly verifyTls: Placed<boolean> | null;
  readonly certificates: Placed<string> | null;
  readonly locks: {
    readonly isEnabled: boolean;
    readonly databaseTimeout: number;
    readonly packageTimeout: number | null;
  };
  readonly environmentsRoot: string | null;
  /** Toolchains: the specs that `%name` expands to. */
  readonly toolchains: readonly {
    readonly name: string;
    readonly parts: readonly { readonly spec: string; readonly when: string | null }[];
    readonly from: string;
  }[];
  /** Parts of the configuration that are ignored, and why. */
  readonly notes: readonly Placed<string>[];
}

/** One mirror in the spelling of Spack's configuration, with the unset variables of its credentials. */
export interface MirrorReport extends Readonly<Record<string, unknown>> {
  readonly name: string;
  readonly from: string;
  readonly unsetVariables: readonly string[];
}

/** Turns a discovery into its report. */
export function discoveryReport(found: Discovery): DiscoveryReport {
  const { installation, environment, store, network, locks, configuration } = found;
  const { env } = configuration.context.host;
  return {
    spack: installation ? { root: installation.root, version: installation.version, from: installation.from } : null,
    environment: environment
      ? {
          name: environment.name,
          folder: environment.folder,
          manifest: environment.manifest ?? null,
          lock: environment.lock ?? null,
          unify: environment.unify,
          views: environment.views.map(({ name, root }) => ({ name, root })),
        }
      : null,
    scopes: configuration.scopes.map(({ name, kind, path, content }) => ({
      name,
      kind,
      path: path ?? null,
      files: [...content.files],
    })),
    store: store
      ? {
          root: store.tree.root,
          unpaddedRoot: store.tree.unpaddedRoot,
          projections: store.tree.projections,
          hashLength: store.tree.hashLength ?? null,
          from: formatPlace(store.tree.place),
        }
      : null,
    upstreams: found.upstreams.map(({ name, root, place }) => ({ name, root, from: formatPlace(place) })),
    mirrors: found.mirrors.map((mirror) => mirrorReport(mirror, env)),
    connectTimeout: placed(network.connectTimeout),
    verifyTls: placed(network.verifyTls),
    certificates: placed(network.certificates),
    locks: { ...locks, packageTimeout: locks.packageTimeout ?? null },
    environmentsRoot: found.environmentsRoot ?? null,
    toolchains: [...found.toolchains].map(([name, { parts, place }]) => ({
      name,
      parts: parts.map(({ spec, when }) => ({ spec, when: when ?? null })),
      from: formatPlace(place),
    })),
    notes: found.notes.map(({ place, text }) => ({ value: redactUserInfo(text), from: formatPlace(place) })),
  };
}

function mirrorReport(mirror: Mirror, env: Discovery["configuration"]["context"]["host"]["env"]): MirrorReport {
  const unset = mirror.variables.filter((name) => !Object.hasOwn(env, name) || env[name] === undefined);
  return { ...mirror.toJSON(), name: mirror.name, from: formatPlace(mirror.place), unsetVariables: unset };
}

function placed<T>(setting: { readonly value: T; readonly place: Place } | undefined): Placed<T> | null {
  return setting ? { value: setting.value, from: formatPlace(setting.place) } : null;
}
