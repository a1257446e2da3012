// The form of the directory of a large index: what its writer and its reader have in common. A directory is the digest
// of what follows, a line of JSON, and lists: all hashes as text, then numbers of 32 bits, those of records, the hashes
// of all edges, and the hashes of incomplete records.
import { endianness } from "node:os";

/** Changes with the form; numbers have the byte order of the machine. */
export const FORM: string = `2 ${endianness()}`;
/** How many numbers each record has. */
export const WIDTH = 7;
/** Which they are. Hash, name and version are places in lists; the edges of a record end before `edgesEnd`. */
export const COLUMN = { hash: 0, name: 1, version: 2, from: 3, length: 4, uses: 5, edgesEnd: 6 } as const;
/** The number of uses of a record that does not tell it. */
export const UNKNOWN_USES = 0x7fffffff;

/** The line of JSON. */
export interface DirectoryHead {
  readonly form: string;
  /** Of the database. */
  readonly version: number;
  /** Of the specs. */
  readonly format: number;
  readonly names: readonly string[];
  readonly versions: readonly string[];
  /** How many there are of each. */
  readonly hashes: number;
  readonly records: number;
  readonly edges: number;
  readonly incomplete: number;
}

/** Uses of a record whose binary is not in the cache are stored as their complement. */
export function storedUses(uses: number | undefined, inBuildcache: boolean): number {
  const known = uses ?? UNKNOWN_USES;
  return inBuildcache ? known : ~known;
}

/** The reverse of `storedUses`. */
export function usesIn(stored: number): number | undefined {
  const uses = stored < 0 ? ~stored : stored;
  return uses === UNKNOWN_USES ? undefined : uses;
}
