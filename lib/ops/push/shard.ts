// Splits the packing between jobs that push one environment in parallel.
import { StaveError } from "../../errors.ts";
import { leadingDigits } from "../../spack/spec/dag-hash.ts";
import type { SpecNode } from "../../spack/spec/node.ts";

/** The K-th of N shares; K counts from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

const MOST = 1000;

/** Parses `K/N`. Throws USAGE. */
export function parseShard(text: string): Shard {
  const [, k, n] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? [];
  const [index, count] = [Number(k), Number(n)];
  if (index >= 1 && index <= count && count <= MOST) return { index, count };
  throw new StaveError(
    "USAGE",
    `the shard ${JSON.stringify(text.slice(0, 80))} is invalid, expected K/N with 1 <= K <= N <= ${MOST}`,
    {
      hint: "for example `shard: 1/4` in the first of four jobs",
    },
  );
}

/**
 * True if a spec is in a share. This follows from the DAG hash alone, so jobs agree even if they have different specs
 * installed.
 */
export function isInShard(node: SpecNode, shard: Shard | undefined): boolean {
  if (shard === undefined) return true;
  // 35 bits of the hash, as evenly distributed as the hash itself.
  return Number(leadingDigits(node.hash, 7)) % shard.count === shard.index - 1;
}
