// `relocate`: a tree that is already there, moved or about to be, names its new place.
import { existsSync } from "node:fs";
import { StaveError } from "../../errors.ts";
import type { FindPatchelf } from "../../relocate/file/patchelf.ts";
import { findLeftovers, writeInventory } from "../../relocate/place/inventory.ts";
import { prefixMapOfRoots } from "../../relocate/prefix/new-prefixes.ts";
import type { PrefixMap } from "../../relocate/prefix/prefix-map.ts";
import { type RelocationReport, relocateTree } from "../../relocate/tree/relocate-tree.ts";
import { scanTree } from "../../relocate/tree/scan.ts";
import { walkTree } from "../../relocate/tree/walk-tree.ts";
import { pathKind } from "../../spack/config/scope-file.ts";
import { METADATA_FOLDER, readManifestPrefix } from "../../spack/store/prefix-metadata.ts";
import { DATABASE_FOLDER } from "../../spack/store/store.ts";
import { shownName } from "../../util/byte-string.ts";
import { HeldTree } from "../../util/held-tree.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { withoutTrailing } from "../../util/without-trailing.ts";

/** What is relocated. */
export interface RelocateTreeOptions {
  /** Where the tree is on this machine. */
  readonly directory: string;
  /** The root or prefix that its files name, and the one that they are to name. */
  readonly from: string;
  readonly to: string;
  /** Change nothing. */
  readonly dryRun?: boolean | undefined;
  /** Files that are neither text nor program too, where what they hold can keep its length. */
  readonly allFiles?: boolean | undefined;
  /** Fail when files still name the old place at the end. */
  readonly strict?: boolean | undefined;
  readonly findPatchelf?: FindPatchelf | undefined;
  readonly progress?: ProgressSink | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was done, or would be; paths below the tree, fit for messages. */
export interface RelocateTreeReport extends RelocationReport {
  directory: string;
  from: string;
  to: string;
  dryRun: boolean;
  /** Files and links that still name the old place. */
  leftovers: string[];
  /** Prefixes whose install manifest was written anew. */
  manifests: string[];
  /** Sockets, FIFOs and devices. */
  skipped: string[];
  /** Whether there is an install database, which still names the old place. */
  hasDatabase: boolean;
}

/**
 * Relocates a tree in place. Everything is tried first without changing anything, so that a file that cannot be relocated is
 * found out while the tree is whole; a second run after an interruption goes on where the first one stopped. Throws USAGE,
 * RELOCATION_FAILED, FILE_SYSTEM.
 */
export async function relocate(options: RelocateTreeOptions): Promise<RelocateTreeReport> {
  const { directory, dryRun = false, allFiles = false, strict = false, progress = noProgress, signal } = options;
  const [from, to] = [checkedRoot(options.from, "--from"), checkedRoot(options.to, "--to")];
  if (from === to) throw new StaveError("USAGE", `--from and --to are both ${from}, expected two places`);
  if (pathKind(directory) !== "folder")
    throw new StaveError("NOT_FOUND", `${directory} is no folder`, {
      subject: directory,
      hint: "name the tree to relocate",
    });
  const map = prefixMapOfRoots(from, to);
  progress({ type: "note", text: `looking at the files of ${directory}` });
  const found = await scanTree(directory, { map, signal });
  const job = {
    map,
    files: found,
    others: allFiles ? found.others : [],
    findPatchelf: options.findPatchelf,
    signal,
  };
  let report = await withProgress(progress, "checked", directory, found.bytes, (onFile) =>
    relocateTree(directory, { ...job, dryRun: true, onFile }),
  );
  if (!dryRun)
    report = await withProgress(progress, "relocated", directory, found.bytes, (onFile) =>
      relocateTree(directory, { ...job, onFile }),
    );
  const done = new Set(report.others);
  const leftovers = dryRun
    ? found.others.map(shownName).filter((path) => !done.has(path))
    : await findLeftovers(directory, map, signal);
  const manifests = await renewManifests(directory, map, dryRun, signal);
  if (strict && leftovers.length > 0)
    throw new StaveError(
      "RELOCATION_FAILED",
      `${leftovers.length} files still name ${from}, the first is ${leftovers[0]}`,
      {
        subject: leftovers[0] ?? "",
        hint: allFiles ? "look at them, or leave out --strict" : "add --all-files to change those that can be",
      },
    );
  return {
    directory,
    from,
    to,
    dryRun,
    ...report,
    leftovers,
    manifests,
    skipped: found.skipped,
    hasDatabase: existsSync(`${directory}/${DATABASE_FOLDER}/index.json`),
  };
}

function checkedRoot(path: string, flag: string): string {
  const plain = withoutTrailing(path, "/");
  if (
    !plain.startsWith("/") ||
    plain.split("/").some((part, at) => at > 0 && (part === "" || part === "." || part === ".."))
  )
    throw new StaveError("USAGE", `${flag} is ${JSON.stringify(path)}, expected an absolute path without . or ..`);
  return plain;
}

async function withProgress(
  progress: ProgressSink,
  outcome: "checked" | "relocated",
  label: string,
  size: number,
  work: (onFile: (path: string, size: number) => void) => Promise<RelocationReport>,
): Promise<RelocationReport> {
  progress({ type: "queued", id: outcome, size });
  progress({ type: "start", id: outcome, label, size });
  const report = await work((_path, count) => progress({ type: "bytes", id: outcome, count }));
  progress({ type: "done", id: outcome, label, outcome, size });
  return report;
}

// The manifest of a prefix is about the place where the prefix was; one that is about yet another place was stale before.
async function renewManifests(
  directory: string,
  map: PrefixMap,
  dryRun: boolean,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const renewed: string[] = [];
  for (const path of prefixesIn(directory)) {
    const folder = path === "" ? directory : `${directory}/${path}`;
    const old = await readManifestPrefix(folder);
    const now = old === undefined ? undefined : map.replaceStart(Buffer.from(old, "utf8"))?.toString("utf8");
    if (now === undefined) continue;
    if (!dryRun) await writeInventory(folder, { prefix: now, signal });
    renewed.push(path === "" ? "." : path);
  }
  return renewed;
}

// The folders with Spack's metadata; their names are texts, as Spack makes them.
function* prefixesIn(directory: string): Iterable<string> {
  using tree = new HeldTree(directory);
  const entries = walkTree(tree, (_path, name) => name !== METADATA_FOLDER && name !== DATABASE_FOLDER);
  for (const { path, type } of entries) {
    if (type !== "directory" || !(path === METADATA_FOLDER || path.endsWith(`/${METADATA_FOLDER}`))) continue;
    yield Buffer.from(path.slice(0, -METADATA_FOLDER.length - 1), "latin1").toString("utf8");
  }
}
