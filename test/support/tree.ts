// Temporary folders with given contents, whose names may be invalid UTF-8. Removed when the process ends.
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One entry to create; `path` and `target` have one character per byte (Latin-1). */
export type TreeItem =
  | { type: "file"; path: string; content?: string | Uint8Array; mode?: number }
  | { type: "dir"; path: string }
  | { type: "symlink" | "hardlink"; path: string; target: string };

let parent: string | undefined;

/** A new empty folder. */
export function temporaryFolder(): string {
  if (parent === undefined) {
    const all = mkdtempSync(join(tmpdir(), "stave-test-"));
    parent = all;
    chmodSync(all, 0o755);
    process.on("exit", () => remove(all));
  }
  const folder = mkdtempSync(join(parent, "t-"));
  chmodSync(folder, 0o755);
  return folder;
}

function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch (error) {
    // Not a failure of the test: without root, files of a container may belong to others.
    console.error(`${folder} is not removed: ${error}`);
  }
}

/** Creates a tree in the order of the list; missing parent folders are created. */
export function makeTree(folder: string, items: Iterable<TreeItem>): void {
  const bytes = (path: string): Buffer => Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(path, "latin1")]);
  for (const item of items) {
    const parent = item.path.includes("/") ? item.path.slice(0, item.path.lastIndexOf("/")) : "";
    mkdirSync(bytes(item.type === "dir" ? item.path : parent), { recursive: true });
    if (item.type === "file") writeFileSync(bytes(item.path), item.content ?? "", { mode: item.mode ?? 0o644 });
    else if (item.type === "symlink") symlinkSync(Buffer.from(item.target, "latin1"), bytes(item.path));
    else if (item.type === "hardlink") linkSync(bytes(item.target), bytes(item.path));
  }
}
