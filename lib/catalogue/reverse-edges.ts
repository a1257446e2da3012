// Which specs of an index depend on a spec: the edges of the index turned around, as numbers, because an index may have
// a million of them.
import type { IndexRecord } from "../cache/record.ts";

/** The edges of an index from child to parent. */
export class ReverseEdges {
  readonly #records: readonly IndexRecord[];
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #ends: Uint32Array;
  readonly #parents: Uint32Array;

  constructor(records: ReadonlyMap<string, IndexRecord>) {
    this.#records = [...records.values()];
    this.#numbers = new Map(this.#records.map(({ hash }, at) => [hash, at]));
    const counts = new Uint32Array(this.#records.length + 1);
    for (const record of this.#records)
      for (const child of this.#children(record)) counts[child + 1] = (counts[child + 1] ?? 0) + 1;
    for (let at = 1; at < counts.length; at++) counts[at] = (counts[at] ?? 0) + (counts[at - 1] ?? 0);
    this.#ends = counts;
    this.#parents = new Uint32Array(counts.at(-1) ?? 0);
    const next = counts.slice();
    for (const [at, record] of this.#records.entries())
      for (const child of this.#children(record)) {
        const place = next[child] ?? 0;
        next[child] = place + 1;
        this.#parents[place] = at;
      }
  }

  /** The number of specs that depend on one directly, and the first of them in the order of the index. */
  dependents(hash: string, most: number): { readonly count: number; readonly first: readonly IndexRecord[] } {
    const at = this.#numbers.get(hash);
    if (at === undefined) return { count: 0, first: [] };
    const [from, to] = [this.#ends[at] ?? 0, this.#ends[at + 1] ?? 0];
    const numbers = [...this.#parents.subarray(from, Math.min(to, from + most))];
    return { count: to - from, first: numbers.flatMap((parent) => this.#records[parent] ?? []) };
  }

  // A dependency may have several edges.
  *#children({ dependencies }: IndexRecord): Iterable<number> {
    for (const hash of new Set(dependencies)) {
      const child = this.#numbers.get(hash);
      if (child !== undefined) yield child;
    }
  }
}
