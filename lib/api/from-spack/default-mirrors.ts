// The mirrors of Spack's configuration that are the default caches.
import { printable } from "../../printable/printable.ts";
import { redactUrls } from "../../printable/secret.ts";
import type { Direction, Mirror } from "../../spack/config/mirror.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import type { SpackFiles } from "./spack-files.ts";

/** Where to look for mirrors. */
export interface MirrorLookup {
  readonly around: Surroundings;
  readonly files: () => SpackFiles;
  /** Called with notes on which mirrors are used, and which cannot be. */
  readonly onNote: (text: string) => void;
}

const USABLE = /^(?:oci|oci\+http|file|https?|s3|gs):/;

/**
 * The names of the mirrors to use if no cache is named: to fetch, all mirrors that may contain binaries, in Spack's
 * order; to push, the one with `autopush`, otherwise the one with `push`. None if $STAVE_CACHE names a cache.
 */
export function defaultMirrors(direction: Direction, { around, files, onNote }: MirrorLookup): string[] {
  if (around.env["STAVE_CACHE"]) return [];
  const all = files().discovery.mirrors.filter(({ hasBinaries }) => hasBinaries);
  const pushed = all.find(({ isAutopush }) => isAutopush) ?? all.find(({ hasPush }) => hasPush);
  const meant = direction === "fetch" ? all : [pushed].filter((mirror) => mirror !== undefined);
  const shown = (mirror: Mirror): string =>
    printable(`${mirror.name} (${redactUrls(mirror.url(direction))})`, { most: 300 });
  const usable = meant.filter((mirror) => USABLE.test(mirror.url(direction)));
  const others = meant.filter((mirror) => !usable.includes(mirror));
  if (others.length > 0) onNote(`not used, because stave has no client for them: ${others.map(shown).join(", ")}`);
  if (usable.length > 0)
    onNote(`using ${usable.length === 1 ? "the mirror" : "the mirrors"} ${usable.map(shown).join(", ")}`);
  return usable.map(({ name }) => name);
}
