// A share of the packing, for jobs that push one environment side by side.
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
    `the shard ${JSON.stringify(text.slice(0, 80))} is none, expected K/N with 1 <= K <= N <= ${MOST}`,
    {
      hint: "for example --shard 1/4 in the first of four jobs",
    },
  );
}

/**
 * Tells whether a spec is in a share. It follows from the DAG hash alone, so that jobs need not have the same specs installed
 * to agree on who packs what.
 */
export function isInShard(node: SpecNode, shard: Shard | undefined): boolean {
  if (shard === undefined) return true;
  // 35 bits of the hash: as even as the hash is.
  return Number(leadingDigits(node.hash, 7)) % shard.count === shard.index - 1;
}
