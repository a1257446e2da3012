// Opens connections and targets according to the flags.
import { openSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { Connection, type NetworkOptions } from "../../api/places/connection.ts";
import type { CacheLocation } from "../../api/places/mirror-location.ts";
import { networkFor } from "../../api/places/spack-network.ts";
import type { Keychain } from "../../auth/keychain.ts";
import { fileError, StaveError } from "../../errors.ts";
import type { TraceEvent } from "../../http/types.ts";
import { DEFAULT_REGISTRY, type Location } from "../../oci/reference.ts";
import { jsonText } from "../../printable/printable.ts";
import type { NetworkSettings } from "../../spack/config/settings.ts";
import { isLayoutFolder } from "../../target/layout/layout-folder.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import type { TransportFlags } from "./shared-flags.ts";

/** What a verb provides to open connections. */
export interface NetworkRun {
  readonly context: Context;
  readonly output: Output;
  readonly flags: TransportFlags;
  /** The places that will be opened; a registry if only its login is checked. */
  readonly places: readonly Pick<CacheLocation, "kind">[];
  /** Spack's network settings, from a verb that has read its configuration; default: read here. */
  readonly settings?: () => NetworkSettings;
  readonly keychain?: Keychain;
}

/** Opens the connection of a verb. For registries, Spack's network settings apply unless a flag overrides them. */
export async function openNetwork(run: NetworkRun): Promise<Opener> {
  const { context, output, flags, places, settings, keychain } = run;
  const onWarning = (text: string): void => output.warn(text);
  const given = networkOptions(flags, context.cwd);
  const network = await networkFor(given, { around: context, places, settings, onWarning });
  return new Opener(context, output, network, keychain);
}

/** A connection that says in the output what it waits for. */
class Opener extends Connection {
  readonly #cwd: string;
  readonly #output: Output;

  constructor(context: Context, output: Output, network: NetworkOptions, keychain?: Keychain) {
    super(context, {
      ...network,
      ...(keychain && { keychain }),
      onWait: (milliseconds, reason) => output.progress({ type: "wait", milliseconds, reason }),
      onWarning: (text) => output.warn(text),
    });
    this.#cwd = context.cwd;
    this.#output = output;
  }

  override async read(location: Location): Promise<ReadTarget> {
    this.#hintAtDirectory(location);
    return await super.read(location);
  }

  override async change(location: Location): Promise<Target> {
    this.#hintAtDirectory(location);
    return await super.change(location);
  }

  // A name without a host refers to Docker Hub, but the user may have meant a directory.
  #hintAtDirectory(location: Location): void {
    if (location.kind !== "registry" || location.scheme !== undefined) return;
    const { registry, repository, tag } = location.reference;
    if (registry !== DEFAULT_REGISTRY) return;
    const directory = repository.replace(/^library\//, "");
    if (isLayoutFolder(resolve(this.#cwd, directory)))
      this.#output.warn(`looking for ${directory} on Docker Hub; for the directory write oci-layout:${directory}`);
    else this.#output.hubImage = tag === undefined ? directory : `${directory}:${tag}`;
  }
}

export type { Opener };

function networkOptions(flags: TransportFlags, cwd: string): NetworkOptions {
  const { cert, keyFile, timeout, connectTimeout, trace } = flags;
  if ((cert === undefined) !== (keyFile === undefined))
    throw new StaveError("USAGE", "--cert and --key-file go together", { hint: "name both files" });
  return {
    plainHttp: flags.plainHttp,
    insecureTls: flags.insecureTls,
    caFiles: flags.cacert,
    caFolders: flags.capath,
    clientCertificate: cert !== undefined && keyFile !== undefined ? { certificate: cert, key: keyFile } : undefined,
    retries: flags.retries,
    timeout: timeout === undefined ? undefined : timeout * 1000,
    connectTimeout: connectTimeout === undefined ? undefined : connectTimeout * 1000,
    minRate: flags.minRate,
    authfile: flags.authfile,
    trace: trace === undefined ? undefined : traceTo(resolve(cwd, trace)),
  };
}

/** Appends one JSON line per event to a file that only its owner can read. */
function traceTo(path: string): (event: TraceEvent) => void {
  let file: number;
  try {
    file = openSync(path, "a", 0o600);
  } catch (cause) {
    throw fileError(cause, "write", path);
  }
  return (event) => void writeSync(file, `${jsonText(event)}\n`);
}
