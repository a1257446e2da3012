// What may surprise someone about a push: what the environment, the images and the cache lack.
import type { SpecNode } from "../../spack/spec/node.ts";
import { unpaddedRoot } from "../../spack/store/padding.ts";
import { count } from "./formatting.ts";

const NAMED = 5;

/** The warning that `spack.yaml` has specs that `spack.lock` lacks. */
export function unlockedAdvice(specs: readonly string[], environment: string | undefined): string | undefined {
  if (specs.length === 0) return undefined;
  const names = specs.slice(0, NAMED).join(", ");
  const more = specs.length > NAMED ? ` and ${specs.length - NAMED} more` : "";
  return `spack.yaml has ${names}${more}, but spack.lock does not: run \`spack -e ${environment} concretize\` first to push ${specs.length === 1 ? "it" : "them"}, too`;
}

/** What a push made, or would make. */
export interface PushedThings {
  /** The root of the store. */
  readonly root: string;
  /** How many specs were packed. */
  readonly packed: number;
  /** How many of them the cache did not have, if its index was left as it is. */
  readonly unindexed: number;
  /** The command that brings the index up to date. */
  readonly reindex: string;
  readonly roots: readonly SpecNode[];
  /** Tags of images that were made without a base image. */
  readonly baseless: readonly string[];
}

/** A root of this length has room for most others. */
const LONG_ROOT = 128;

/** Warnings of what follows from a push. */
export function* pushAdvice(pushed: PushedThings): Iterable<string> {
  const { root, packed, unindexed, reindex, roots, baseless } = pushed;
  if (baseless.length > 0)
    yield `nothing will start in ${baseless.join(", ")} without a base image: add --base-image ${suggestedBase(roots)}`;
  if (packed > 0 && root.length < LONG_ROOT && unpaddedRoot(root) === root)
    yield `${root} is not padded: its programs can be installed only into stores whose root has at most ${count(root.length, "character")} (config:install_tree:padded_length makes room)`;
  if (unindexed > 0)
    yield `the index of the cache lacks ${count(unindexed, "new spec")}: run \`${reindex}\`, or push with --update-index`;
}

/** The image of the system that the specs were built on, where its name says so. */
function suggestedBase(roots: readonly SpecNode[]): string {
  const os = roots.find((node) => node.external === undefined)?.os ?? "";
  const [, name = "", version = ""] = /^([a-z]+)([0-9.]+)$/.exec(os) ?? [];
  const image: Record<string, string> = {
    debian: `debian:${version}-slim`,
    ubuntu: `ubuntu:${version}`,
    fedora: `fedora:${version}`,
    rocky: `rockylinux:${version}`,
    almalinux: `almalinux:${version}`,
  };
  return image[name] ?? "IMAGE";
}
