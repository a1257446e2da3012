// The golden data made by real Spack (testdata/golden/README.md), and the vectors; archives are unpacked once per run.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { Unpack } from "tar";

const data = resolve(import.meta.dirname, "../../testdata");

/** The path of a file or folder under testdata/golden. */
export function golden(path: string): string {
  return join(data, "golden", path);
}

const unpacked = new Map<string, Promise<string>>();

/**
 * Unpacks `testdata/golden/<name>.tar.zst`, for instance `spack-1.2/store`, and returns the folder with what was in it.
 * It is shared by all tests of the process and removed at its end: copy what a test changes.
 */
export function unpackGolden(name: string): Promise<string> {
  let folder = unpacked.get(name);
  if (folder === undefined) {
    folder = unpack(zstdDecompressSync(readFileSync(golden(`${name}.tar.zst`))));
    unpacked.set(name, folder);
  }
  return folder;
}

async function unpack(archive: Buffer): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "stave-golden-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  await new Promise<void>((done, failed) => {
    const extract = new Unpack({ cwd: folder, preservePaths: true, noMtime: true });
    extract.on("close", done);
    extract.on("error", failed);
    extract.end(archive);
  });
  return folder;
}

/** One section of testdata/vectors.json, made by real Spack; whoever asks knows its shape. */
export function vectors<T>(section: string): T {
  const all: Record<string, T> = JSON.parse(readFileSync(join(data, "vectors.json"), "utf8"));
  const found = all[section];
  if (found === undefined) throw new Error(`no vectors named ${section}`);
  return found;
}
