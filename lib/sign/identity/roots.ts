// The roots of Sigstore deployments, read when the first signature of an identity is judged, and once. Verifying needs
// large libraries, which are loaded then.

import { isStaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { readBounded } from "../../util/read-file.ts";
import type { Clock } from "../../util/time.ts";
import type { TrustedRoot } from "./trusted-root.ts";

/** Where a root is from: a file, or a TUF repository with its first root. */
export type RootSource = { readonly file: string } | TufSource;

/** A TUF repository. */
export interface TufSource {
  readonly tuf: string;
  /** The path of its first `root.json`; undefined for the public instance. */
  readonly first: string | undefined;
}

/** The repository of the public instance. */
export const PUBLIC_ROOT: TufSource = { tuf: "https://tuf-repo-cdn.sigstore.dev", first: undefined };

/** What reading roots needs. */
export interface RootsOptions {
  /** The folder for what is kept between runs. */
  readonly folder: string;
  /** The way to the network; undefined if only files and what is kept may be used. */
  readonly transport: Transport | undefined;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** Maximum number of bytes of a first root; the public one has 6 kB. */
const FIRST_LIMIT = 1024 * 1024;

const TRUSTED_ROOT = "trusted_root.json";
const SIGNING_CONFIG = "signing_config.v0.2.json";

/** Reads roots. */
export class Roots {
  readonly #options: RootsOptions;
  readonly #read = new Map<string, Promise<TrustedRoot>>();

  constructor(options: RootsOptions) {
    this.#options = options;
  }

  /** A root. Throws CONFIG_INVALID, NOT_FOUND, FILE_SYSTEM, and what requests throw. */
  root(source: RootSource): Promise<TrustedRoot> {
    const key = JSON.stringify(source);
    const known = this.#read.get(key);
    if (known !== undefined) return known;
    const reading = this.#root(source);
    this.#read.set(key, reading);
    reading.catch(() => this.#read.delete(key));
    return reading;
  }

  /** The signing configuration that a repository publishes. Throws as `root`. */
  async signingConfig(source: TufSource): Promise<Buffer> {
    return await this.#target(source, SIGNING_CONFIG);
  }

  async #root(source: RootSource): Promise<TrustedRoot> {
    const { ROOT_LIMIT, TrustedRoot } = await import("./trusted-root.ts");
    if ("file" in source) {
      const { bytes } = await readBounded(source.file, ROOT_LIMIT);
      return TrustedRoot.parse(bytes, source.file);
    }
    return TrustedRoot.parse(await this.#target(source, TRUSTED_ROOT), source.tuf);
  }

  async #target(source: TufSource, target: string): Promise<Buffer> {
    const { tufTarget } = await import("./tuf-repository.ts");
    const { tuf: url, first } = source;
    const firstRoot = first === undefined ? undefined : (await readBounded(first, FIRST_LIMIT)).bytes;
    const use = { ...this.#options, url, first: firstRoot };
    try {
      return await tufTarget(target, use);
    } catch (error) {
      // What is kept is as good, as long as it has not expired.
      if (!isStaveError(error, "NETWORK", "TIMEOUT", "TLS")) throw error;
      return await tufTarget(target, { ...use, transport: undefined }).catch(() => {
        throw error;
      });
    }
  }
}
