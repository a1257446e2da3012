// Proves that programs and libraries made by a real compiler run after relocation; readelf reads their headers.
import assert from "node:assert/strict";
import { linkSync, readFileSync, realpathSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { StaveError } from "../../lib/errors.ts";
import { prefixMapOfRoots } from "../../lib/relocate/prefix/new-prefixes.ts";
import { relocateTree } from "../../lib/relocate/tree/relocate-tree.ts";
import { findProgram } from "../../scripts/peers.ts";
import { makeElf } from "../support/elf.ts";
import { archives, relocate } from "../support/golden-archives.ts";
import { peerTest, run } from "../support/peers.ts";
import { makeTree, temporaryFolder } from "../support/tree.ts";

const findPatchelf = (): string | undefined => findProgram("patchelf");

interface Built {
  /** The folder above both roots. */
  folder: string;
  root: string;
}

/** A library and a program that finds it by its search path, at a separate root. */
async function build(name: string, flags: string[] = []): Promise<Built> {
  const folder = temporaryFolder();
  const root = join(folder, name);
  makeTree(root, [
    { type: "file", path: "lib/hull.c", content: "int hull(void) { return 42; }\n" },
    { type: "file", path: "bin/main.c", content: "int hull(void); int main(void) { return hull(); }\n" },
  ]);
  await run("gcc", ["-shared", "-fPIC", "-o", `${root}/lib/libhull.so`, `${root}/lib/hull.c`]);
  const search = ["-L", `${root}/lib`, "-lhull", `-Wl,-rpath,${root}/lib`];
  await run("gcc", ["-o", `${root}/bin/main`, `${root}/bin/main.c`, ...search, ...flags]);
  return { folder, root };
}

/** Moves the tree and relocates it, as done by hand. */
async function move({ folder, root }: Built, name: string): Promise<string> {
  const to = join(folder, name);
  renameSync(root, to);
  const files = { binaries: ["bin/main", "lib/libhull.so"], links: [], texts: [] };
  const { patched, headers } = await relocateTree(to, { map: prefixMapOfRoots(root, to), files, findPatchelf });
  assert.deepEqual([...patched, ...headers], ["bin/main"]);
  return to;
}

const status = (program: string): Promise<string> => run("sh", ["-c", '"$0"; echo $?', program]);
const readelf = (...args: string[]): Promise<string> => run("readelf", ["-W", ...args], { LC_ALL: "C" });

peerTest(["gcc", "readelf"], "a program runs at a shorter root", async () => {
  for (const [flag, tag] of [
    ["-Wl,--enable-new-dtags", "RUNPATH"],
    ["-Wl,--disable-new-dtags", "RPATH"],
  ] as const) {
    const built = await build("a-rather-long-name", [flag]);
    const to = await move(built, "short");
    assert.equal(await status(`${to}/bin/main`), "42\n");
    assert.match(await readelf("-d", `${to}/bin/main`), new RegExp(`\\(${tag}\\).*\\[${to}/lib\\]`));
    assert.ok(!readFileSync(`${to}/bin/main`).includes(built.root));
  }
});

peerTest(["gcc", "readelf", "patchelf"], "a program runs at a longer root, with its names and its mode", async () => {
  const built = await build("short");
  linkSync(`${built.root}/bin/main`, `${built.root}/bin/again`);
  const before = statSync(`${built.root}/bin/main`);
  const to = await move(built, "a-name-that-is-much-longer-than-the-one-before");
  assert.equal(await status(`${to}/bin/main`), "42\n");
  assert.equal(await status(`${to}/bin/again`), "42\n");
  assert.match(await readelf("-d", `${to}/bin/main`), new RegExp(`\\(RPATH\\).*\\[${to}/lib\\]`));
  const after = statSync(`${to}/bin/again`);
  assert.deepEqual([after.ino, after.mode], [before.ino, before.mode]);
});

peerTest(["gcc", "readelf", "patchelf"], "a new root that begins like the old one is no endless task", async () => {
  const built = await build("store");
  const to = await move(built, "store-2");
  assert.equal(await status(`${to}/bin/main`), "42\n");
});

peerTest(
  ["gcc", "readelf", "patchelf"],
  "an interpreter that must grow is set, and the search path with it",
  async () => {
    const plain = await build("plain");
    const [, loader = ""] =
      /\[Requesting program interpreter: (.*)\]/.exec(await readelf("-l", `${plain.root}/bin/main`)) ?? [];
    const folder = temporaryFolder();
    for (const rpath of [`-Wl,-rpath,${folder}/s/lib`, `-Wl,-rpath,$ORIGIN/../lib`]) {
      const root = join(folder, "s");
      makeTree(root, [{ type: "dir", path: "lib" }]);
      symlinkSync(realpathSync(loader), `${root}/lib/ld.so`);
      writeFileSync(`${root}/main.c`, "int main(void) { return 7; }\n");
      await run("gcc", ["-o", `${root}/main`, `${root}/main.c`, rpath, `-Wl,--dynamic-linker=${root}/lib/ld.so`]);
      const to = join(folder, `grown-${rpath.length}-into-a-long-name`);
      renameSync(root, to);
      const files = { binaries: ["main"], links: [], texts: [] };
      await relocateTree(to, { map: prefixMapOfRoots(root, to), files, findPatchelf });
      assert.equal(await status(`${to}/main`), "7\n");
      assert.ok((await readelf("-l", `${to}/main`)).includes(`interpreter: ${to}/lib/ld.so]`));
      assert.ok((await readelf("-d", `${to}/main`)).includes(rpath.includes("$") ? "[$ORIGIN/../lib]" : `[${to}/lib]`));
    }
  },
);

peerTest(["readelf"], "the small files of the tests are what readelf takes them for", async () => {
  const file = join(temporaryFolder(), "small.elf");
  for (const bits of [32, 64] as const)
    for (const endian of ["little", "big"] as const) {
      const { bytes } = makeElf({ bits, endian, rpath: "/old/store/lib", interpreter: "/old/store/ld.so", tag: 29 });
      assert.ok(bytes.length < 2048);
      writeFileSync(file, bytes);
      const said = await readelf("-hld", file);
      assert.match(said, new RegExp(`Class: +ELF${bits}[\\s\\S]*${endian} endian`));
      assert.match(said, /interpreter: \/old\/store\/ld\.so\]/);
      assert.match(said, /\(RUNPATH\) +Library runpath: \[\/old\/store\/lib\]/);
    }
});

peerTest(
  ["patchelf"],
  "at a longer root, what Spack can install there can be installed, and nothing else",
  async () => {
    const outcomes: Record<string, string> = {};
    for await (const archive of archives("spack-1.2/plain.oci")) {
      const work = relocate(archive, "/opt/harbor/another-store", { findPatchelf });
      outcomes[archive.node.name] = await work.then(
        () => "installed",
        (error: StaveError) => error.code,
      );
    }
    assert.deepEqual(outcomes, {
      fleet: "installed",
      "gcc-runtime": "installed",
      hull: "RELOCATION_FAILED",
      paddle: "installed",
      rigging: "installed",
      voyage: "RELOCATION_FAILED",
      "zlib-ish": "installed",
      "compiler-wrapper": "installed",
    });
  },
);
