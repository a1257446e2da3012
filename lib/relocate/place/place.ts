// Turns the archive of a spec into a prefix ready to be moved into place: unpacks, relocates, finishes as Spack's hooks
// do, and lists it. Input and output are plain data, so that it can run on another thread.
import type { Readable } from "node:stream";
import { StaveError } from "../../errors.ts";
import { sbangPath } from "../../image/archive/build-info-writer.ts";
import type { Digest } from "../../oci/digest.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { readRootHash, readSpecFile, SPEC_FILE_LIMIT } from "../../spack/spec/spec-file.ts";
import { METADATA_FOLDER } from "../../spack/store/prefix-metadata.ts";
import type { Recurring } from "../../spack/text/recurring.ts";
import { HeldTree } from "../../util/held-tree.ts";
import { isVisible } from "../../util/inspect-path.ts";
import { readBuildInfo } from "../prefix/build-info-reader.ts";
import { type NewPrefixes, prefixMapOf } from "../prefix/new-prefixes.ts";
import { type RelocationReport, relocateTree } from "../tree/relocate-tree.ts";
import { scanTree } from "../tree/scan.ts";
import type { Permissions } from "../unpack/tree-writer.ts";
import { type UnpackOptions, unpackArchive } from "../unpack/unpack.ts";
import { Finisher } from "./finish.ts";
import { writeInventory } from "./inventory.ts";
import { type InstallPhase, writeInstallTimes } from "./write-metadata.ts";

/** What to place, and where. */
export interface PlaceJob extends NewPrefixes {
  /** An empty folder to work in. */
  readonly folder: string;
  /** The DAG hash of the spec, and its name for messages. */
  readonly hash: string;
  readonly name: string;
  /** The final prefix, as recorded. */
  readonly prefix: string;
  readonly compression: UnpackOptions["compression"];
  /** Undefined if the cache does not record it; the digest of the archive is checked either way. */
  readonly diffId: Digest | undefined;
  readonly permissions: Permissions;
  /** Also replace old prefixes in other files, if the length stays the same. */
  readonly allFiles: boolean;
  /** The path of `patchelf`. */
  readonly patchelf: string | undefined;
}

/** An archive that was unpacked and relocated. */
export interface PlacedTree {
  /** The prefix, somewhere below the folder. */
  readonly directory: string;
  readonly members: number;
  /** The total size of all files, in bytes. */
  readonly bytes: number;
  readonly relocated: RelocationReport;
  /** False for very old archives. */
  readonly hasSpecFile: boolean;
  /** It was created with `--rel`: libraries may not be found. */
  readonly hasRelativeRpaths: boolean;
}

/**
 * Unpacks and relocates an archive, a stream or in memory; `recurring` shares the nodes of its spec with others. Throws
 * as unpackArchive and relocateTree do, SPEC_INVALID for the archive of another spec.
 */
export async function placeArchive(
  archive: Readable | Buffer,
  job: PlaceJob,
  { recurring, ...options }: Pick<UnpackOptions, "signal" | "onTaken"> & { readonly recurring?: Recurring } = {},
): Promise<PlacedTree> {
  const { folder, hash, compression, diffId, permissions, patchelf } = job;
  const { directory, members, bytes } = await unpackArchive(archive, folder, {
    ...options,
    compression,
    diffId,
    hash,
    permissions,
  });
  const hasSpecFile = checkArchivedSpec(directory, job, recurring);
  const info = readBuildInfo(directory);
  const map = prefixMapOf(info, job);
  const { signal } = options;
  const others = job.allFiles ? (await scanTree(directory, { map, signal })).others : [];
  const relocated = await relocateTree(directory, {
    map,
    files: info.files,
    others,
    findPatchelf: () => patchelf,
    signal,
  });
  return { directory, members, bytes, relocated, hasSpecFile, hasRelativeRpaths: info.hasRelativeRpaths };
}

/**
 * Checks that an unpacked archive contains the right spec, because databases trust its metadata. Returns false if it
 * has no spec file. Throws SPEC_INVALID, and as HeldTree.read does.
 */
export function checkArchivedSpec(
  directory: string,
  { hash, name }: Pick<PlaceJob, "hash" | "name">,
  recurring?: Recurring,
): boolean {
  using tree = new HeldTree(directory);
  const bytes = tree.read(`${METADATA_FOLDER}/spec.json`, SPEC_FILE_LIMIT);
  if (bytes === undefined) return false;
  const source = `the spec file in the archive of ${name}`;
  if (readRootHash(bytes, source, recurring) === hash) return true;
  const { root } = readSpecFile(bytes, source);
  throw new StaveError("SPEC_INVALID", `the archive of ${name} contains another spec, ${root.name}/${root.hash}`, {
    subject: name,
    hint: "do not use this cache, or push the spec again",
  });
}

/** The result of finishing, as printable paths below the prefix. */
export interface FinishedTree {
  /** Files and links that still contain an old prefix. */
  readonly leftovers: string[];
  readonly shebangs: string[];
  readonly rpaths: string[];
}

/** A placed prefix to finish. */
export interface FinishJob extends NewPrefixes {
  /** Its current directory, and its final prefix as recorded. */
  readonly directory: string;
  readonly prefix: string;
  /** Recorded paths are resolved below this folder. */
  readonly sysroot: string | undefined;
  /** The times to write into it, with the hash and name of the spec. */
  readonly times?: Pick<SpecNode, "hash" | "name"> & { readonly phases: readonly InstallPhase[] };
}

/** Finishes a placed prefix once its dependencies are in place. Throws FILE_SYSTEM. */
export async function finishPlaced(job: FinishJob, signal?: AbortSignal): Promise<FinishedTree> {
  const { directory, prefix, root, sysroot, times } = job;
  if (times !== undefined) writeInstallTimes(directory, times, times.phases);
  const exists = (path: string): boolean => {
    const isOwn = path === prefix || path.startsWith(`${prefix}/`);
    return isOwn ? isVisible(`${directory}${path.slice(prefix.length)}`) : isVisible(path, sysroot);
  };
  using finisher = new Finisher(directory, { sbang: sbangPath(root), exists });
  const map = prefixMapOf(readBuildInfo(directory), job);
  const { leftovers } = await writeInventory(directory, { prefix, map, finisher, signal });
  return { leftovers, ...finisher.report };
}
