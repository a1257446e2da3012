// `openStore`: a Spack store.
import type { Store } from "../../spack/store/store.ts";
import { checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions, surroundingsOf } from "./common.ts";
import { SPACK, type SpackOptions, spackFiles } from "./open-cache.ts";

/** How to open a store. */
export interface OpenStoreOptions extends SpackOptions, Pick<CommonOptions, "signal" | "surroundings"> {
  /** Treat a folder without a database as an empty store instead of throwing NOT_FOUND. */
  readonly mayBeEmpty?: boolean | undefined;
}

/**
 * Opens a Spack store; by default that of `$STAVE_STORE` or of Spack's configuration. Throws CONFIG_INVALID, NOT_FOUND.
 */
export async function openStore(root?: string, options: OpenStoreOptions = {}): Promise<Store> {
  if (root !== undefined) checkText("openStore: the root", root);
  const { signal, surroundings } = COMMON;
  checkOptions("openStore", options, { ...SPACK, signal, surroundings, mayBeEmpty: "boolean" });
  options.signal?.throwIfAborted();
  return await spackFiles(options, surroundingsOf(options), root).store({ mayBeEmpty: options.mayBeEmpty === true });
}
