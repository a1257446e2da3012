// `relocate`: updates the paths in an existing tree that was moved or will be.
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

/** What to relocate, and how. */
export interface RelocateTreeOptions {
  /** The path of the tree on this machine. */
  readonly directory: string;
  /** The old root or prefix, which its files contain, and the new one. */
  readonly from: string;
  readonly to: string;
  /** Change nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also change other formats where the length stays the same. */
  readonly allFiles?: boolean | undefined;
  /** Fail if files still contain the old path at the end. */
  readonly strict?: boolean | undefined;
  readonly findPatchelf?: FindPatchelf | undefined;
  readonly progress?: ProgressSink | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was or would be done; paths are relative to the tree and printable. */
export interface RelocateTreeReport extends RelocationReport {
  directory: string;
  from: string;
  to: string;
  dryRun: boolean;
  /** Files and links that still contain the old path. */
  leftovers: string[];
  /** Prefixes whose install manifest was rewritten. */
  manifests: string[];
  /** Sockets, FIFOs and devices. */
  skipped: string[];
  /** True if there is an install database, which still contains the old path. */
  hasDatabase: boolean;
}

/**
 * Relocates a tree in place. A trial run finds files that cannot be relocated before anything is changed. After an
 * interruption, run it again to continue. Throws USAGE, RELOCATION_FAILED, FILE_SYSTEM.
 */
export async function relocate(options: RelocateTreeOptions): Promise<RelocateTreeReport> {
  const { directory, dryRun = false, allFiles = false, strict = false, progress = noProgress, signal } = options;
  const [from, to] = [checkedRoot(options.from, "from"), checkedRoot(options.to, "to")];
  if (from === to) throw new StaveError("USAGE", `from and to are both ${from}, expected two places`);
  if (pathKind(directory) !== "folder")
    throw new StaveError("NOT_FOUND", `${directory} is not a folder`, {
      subject: directory,
      hint: "name the tree to relocate",
    });
  const map = prefixMapOfRoots(from, to);
  progress({ type: "note", text: `reading the files of ${directory}` });
  const found = await scanTree(directory, { map, signal });
  const job = {
    map,
    files: found,
    others: allFiles ? found.others : [],
    findPatchelf: options.findPatchelf,
    signal,
  };
  const task = { label: directory, size: found.bytes };
  let report = await withProgress(progress, { ...task, outcome: "checked" }, (onFile) =>
    relocateTree(directory, { ...job, dryRun: true, onFile }),
  );
  if (!dryRun)
    report = await withProgress(progress, { ...task, outcome: "relocated" }, (onFile) =>
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
        hint: allFiles ? "look at them, or leave out `strict`" : "use `allFiles` to change those that can be",
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
  {
    outcome,
    label,
    size,
  }: { readonly outcome: "checked" | "relocated"; readonly label: string; readonly size: number },
  work: (onFile: (path: string, size: number) => void) => Promise<RelocationReport>,
): Promise<RelocationReport> {
  progress({ type: "queued", id: outcome, size });
  progress({ type: "start", id: outcome, label, size });
  const report = await work((_path, count) => progress({ type: "bytes", id: outcome, count }));
  progress({ type: "done", id: outcome, label, outcome, size });
  return report;
}

// The manifest of a prefix contains the prefix's old path; if it contains another path, it was already stale.
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

// The folders with Spack's metadata, whose names are always valid text.
function* prefixesIn(directory: string): Iterable<string> {
  using tree = new HeldTree(directory);
  const entries = walkTree(tree, (_path, name) => name !== METADATA_FOLDER && name !== DATABASE_FOLDER);
  for (const { path, type } of entries) {
    if (type !== "directory" || !(path === METADATA_FOLDER || path.endsWith(`/${METADATA_FOLDER}`))) continue;
    yield Buffer.from(path.slice(0, -METADATA_FOLDER.length - 1), "latin1").toString("utf8");
  }
}
