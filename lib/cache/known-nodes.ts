// The nodes that an index update knows, each once. A verified record is what its hash says, wherever it was found. Some
// nodes cannot be verified, because a newer Spack rewrote them after they were hashed; anyone can claim that of a node.
// Such a record never replaces or hides a verified one, nor the record from the image of the spec itself.
import type { KnownRecords } from "./new-nodes.ts";
import type { NodeRecord } from "./record.ts";

/** Where a record is from that cannot be verified. A later one in this list outranks those before it. */
export const ORIGINS = ["dependency", "dependency in the index", "image of the spec", "spec in the index"] as const;

/** One of `ORIGINS`. */
export type Origin = (typeof ORIGINS)[number];

/** Records by DAG hash. */
export class KnownNodes implements KnownRecords {
  readonly followers = new Map<string, NodeRecord[]>();
  readonly #records = new Map<string, NodeRecord>();
  readonly #verified: ReadonlyMap<string, NodeRecord>;
  // Only of records that are not verified.
  readonly #ranks = new Map<string, number>();

  /** With records to begin with, all of them verified. */
  constructor(verified: ReadonlyMap<string, NodeRecord> = new Map()) {
    this.#verified = verified;
  }

  get(hash: string): NodeRecord | undefined {
    return this.#records.get(hash) ?? this.#verified.get(hash);
  }

  /** Adds a record, unless a better one of the same hash is known. The order of additions does not matter. */
  add(record: NodeRecord, origin: Origin): void {
    const { hash, isVerified } = record;
    const known = this.get(hash);
    const rank = ORIGINS.indexOf(origin);
    if (known !== undefined && !isVerified) {
      if (known.isVerified) return;
      const order = rank - (this.#ranks.get(hash) ?? 0);
      if (order < 0 || (order === 0 && Buffer.compare(known.text, record.text) <= 0)) return;
    }
    this.#records.set(hash, record);
    if (isVerified) this.#ranks.delete(hash);
    else this.#ranks.set(hash, rank);
  }
}
