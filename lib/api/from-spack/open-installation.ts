// Opens everything that an installation needs, except its caches: the store, the locks, the requested specs.

import type { ReadCache } from "../../cache/cache.ts";
import type { InstallOptions } from "../../ops/install/options.ts";
import { InstallSource } from "../../ops/install/source.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { installHost } from "./install-host.ts";
import { installRoots, installSide, installStore } from "./install-roots.ts";
import type { SpackFiles } from "./spack-files.ts";

/** What to install, from where. */
export interface InstallationRequest {
  readonly files: SpackFiles;
  readonly around: Surroundings;
  /** In order of preference; the caller closes them. */
  readonly caches: readonly ReadCache[];
  /** The SPEC arguments; without any, the roots of the environment's lock file. */
  readonly words: readonly string[];
  /** A query may match several specs. */
  readonly isMany?: boolean | undefined;
  /** Also accept specs for other machines. */
  readonly anyArchitecture?: boolean | undefined;
  /** The version of a new database. */
  readonly databaseVersion?: string | undefined;
  readonly onNote: (text: string) => void;
  readonly onWarning: (text: string) => void;
}

/** An opened installation; disposing of it releases the locks of the store. */
export interface OpenInstallation extends AsyncDisposable {
  readonly options: InstallOptions;
}

/**
 * Opens the store and looks up the specs. Throws USAGE if no spec is named or a query matches several, SPEC_ABSENT, and
 * what reading Spack's files and the caches throws.
 */
export async function openInstallation(request: InstallationRequest): Promise<OpenInstallation> {
  const { files, around, words, isMany = false, onNote, onWarning } = request;
  const { clock, signal } = around;
  const source = new InstallSource(request.caches);
  const store = await installStore(files, request.databaseVersion);
  const host = request.anyArchitecture ? undefined : installHost(files);
  const roots = await installRoots({ files, source, store, host, isMany, signal }, words);
  const locks = files.locks(store, onNote);
  const side = installSide(files, around, onWarning);
  return {
    options: { store, source, roots, host, locks, ...side, clock, signal },
    [Symbol.asyncDispose]: () => locks[Symbol.asyncDispose](),
  };
}
