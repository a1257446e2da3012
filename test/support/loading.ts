// Trees of small ELF files, what stave's loaders load of them, and what the real loader of this machine does.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { GlibcLoader, type LoaderSettings } from "../../lib/loader/glibc-loader.ts";
import type { ImageTree } from "../../lib/loader/image-tree.ts";
import type { LayerFacts } from "../../lib/loader/layer-facts.ts";
import { readLayer } from "../../lib/loader/layer-reader.ts";
import type { Loading } from "../../lib/loader/loaded.ts";
import { OCI_LAYER_GZIP } from "../../lib/oci/mediatype.ts";
import { type LoadableElf, loadableElf } from "./loadable-elf.ts";
import { makeTree, type TreeItem, temporaryFolder } from "./tree.ts";

/** The path by which programs for x86-64 name glibc's loader. */
export const INTERPRETER = "/lib64/ld-linux-x86-64.so.2";

/** An ELF file at a path. */
export function elfAt(path: string, content: LoadableElf = {}): TreeItem {
  return { type: "file", path, content: loadableElf(content), mode: 0o755 };
}

/** A layer with the content of a folder, as an archive that another tool made. */
export function archiveOf(folder: string): Buffer {
  const { stdout, status } = spawnSync("tar", ["-C", folder, "--sort=name", "-cz", "."], { maxBuffer: 1 << 30 });
  if (status !== 0) throw new Error("tar failed");
  return stdout;
}

/** The facts of a layer with the content of a folder. */
export async function factsOf(folder: string): Promise<LayerFacts> {
  const stream = Readable.from([archiveOf(folder)]);
  return await readLayer(stream, { mediaType: OCI_LAYER_GZIP, subject: "a layer" });
}

/** The facts of a layer with these files. */
export async function layerOf(items: readonly TreeItem[]): Promise<LayerFacts> {
  const folder = temporaryFolder();
  makeTree(folder, items);
  return await factsOf(folder);
}

/** What loading a program gives: libraries by path, what is missing, and versions that are. */
export interface Outcome {
  loaded: string[];
  missing: string[];
  versions: string[];
}

/** What stave says that glibc's loader does. */
export function loadedBy(tree: ImageTree, program: string, settings: LoaderSettings = {}): Outcome {
  const itself = tree.find(INTERPRETER);
  const file = tree.find(program);
  if (!itself || !file?.entry.elf) throw new Error(`${program} cannot be loaded`);
  return outcomeOf(new GlibcLoader(tree, itself, INTERPRETER, settings).load(file, file.entry.elf));
}

/** The same in words. */
export function outcomeOf({ objects, missing, versions }: Loading): Outcome {
  return {
    loaded: objects.slice(1).map(({ file }) => file.path),
    missing: [...new Set(missing.map(({ name }) => name))],
    versions: versions.map(({ version, from }) => `${version} of ${from.file.path}`).sort(),
  };
}

const PERL = "/usr/bin/perl";
// The variables are for the loader alone, not for the program that changes the root.
const IN_CHROOT =
  'my ($root, $env) = splice @ARGV, 0, 2; chroot $root or die; chdir "/"; %ENV = map { split /=/, $_, 2 } split /\\n/, $env; exec @ARGV';

/** The reason why the real loader cannot be run here; undefined if it can. */
export const NO_REAL_LOADER: string | undefined =
  process.getuid?.() === 0 && existsSync(INTERPRETER) && existsSync(PERL)
    ? undefined
    : "needs root, perl and glibc for x86-64";

/** The real loader of this machine, as a file of a tree. */
export function realLoader(): TreeItem {
  return {
    type: "file",
    path: INTERPRETER.slice(1),
    content: NO_REAL_LOADER === undefined ? readFileSync(realpathSync(INTERPRETER)) : fakeLoader(),
    mode: 0o755,
  };
}

// With the folders of Debian, where the reader looks for them.
function fakeLoader(): Buffer {
  const folders = ["/lib/x86_64-linux-gnu/", "/usr/lib/x86_64-linux-gnu/", "/lib/", "/usr/lib/", ""];
  const elf = loadableElf({ soname: "ld-linux-x86-64.so.2", defines: ["GLIBC_2.2.5", "GLIBC_PRIVATE"] });
  elf.write(folders.join("\0"), elf.length - 200, "latin1");
  return elf;
}

/** What the real loader does with a program of a folder. */
export function loadedInReality(folder: string, tree: ImageTree, program: string, libraryPath = ""): Outcome {
  // As in `ldd`: `--list` stops at the first library that is missing.
  const variables = ["LD_TRACE_LOADED_OBJECTS=1", ...(libraryPath === "" ? [] : [`LD_LIBRARY_PATH=${libraryPath}`])];
  const args = ["-e", IN_CHROOT, folder, variables.join("\n"), INTERPRETER, program];
  const ran = spawnSync(PERL, args, { encoding: "utf8" });
  const loaded: string[] = [];
  const missing: string[] = [];
  for (const [, name = "", path = ""] of ran.stdout.matchAll(/^\t(\S+)(?: => (.+?))?(?: \(0x[0-9a-f]+\))?$/gm)) {
    if (path === "not found") missing.push(name);
    else {
      const at = path === "" ? name : path;
      if (at.startsWith("/") && at !== INTERPRETER) loaded.push(tree.find(at)?.path ?? at);
    }
  }
  const lacking = [...ran.stderr.matchAll(/: (\S+): version `([^']+)' not found/g)];
  const versions = lacking.map(([, path = "", version]) => `${version} of ${tree.find(path)?.path ?? path}`);
  if (ran.error) throw ran.error;
  return { loaded, missing, versions: versions.sort() };
}

/** The level of x86-64 of this processor, as the real loader sees it. */
export function realLevel(): number {
  const text = spawnSync(INTERPRETER, ["--help"], { encoding: "utf8" }).stdout;
  return Math.max(1, ...[...text.matchAll(/x86-64-v([2-4]) \(supported/g)].map(([, level]) => Number(level)));
}

/** Writes ld.so.cache into a folder, as `ldconfig` does. */
export function runLdconfig(folder: string): void {
  const ran = spawnSync("/sbin/ldconfig", ["-X", "-r", folder], { encoding: "utf8" });
  if (ran.status !== 0 || !existsSync(join(folder, "etc/ld.so.cache"))) throw new Error(`ldconfig: ${ran.stderr}`);
}
