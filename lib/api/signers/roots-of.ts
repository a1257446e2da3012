// The reader of the roots of Sigstore instances, with this user's folder for what is kept of them.
import type { Transport } from "../../http/types.ts";
import { Roots } from "../../sign/identity/roots.ts";
import { cacheFolder } from "../machine/cache-folder.ts";
import type { Surroundings } from "../machine/surroundings.ts";

/** The reader of roots; without a transport it uses only files and what is kept. */
export function rootsOf(around: Surroundings, transport: Transport | undefined): Roots {
  const { clock, signal } = around;
  return new Roots({ folder: cacheFolder(around, "tuf"), transport, clock, signal });
}
