// Proves that stave finds and misses the same libraries and versions as glibc's own loader, rule by rule: each tree is
// also loaded by the loader of this machine, in a chroot.
import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ImageTree } from "../../lib/loader/image-tree.ts";
import {
  elfAt,
  factsOf,
  INTERPRETER,
  loadedBy,
  loadedInReality,
  NO_REAL_LOADER,
  type Outcome,
  realLevel,
  realLoader,
  runLdconfig,
} from "../support/loading.ts";
import { makeTree, type TreeItem, temporaryFolder } from "../support/tree.ts";

interface Rule {
  name: string;
  items: TreeItem[];
  expect: Partial<Outcome>;
  program?: string;
  libraryPath?: string;
  level?: number;
  /** Makes ld.so.cache out of the tree, and then changes the tree. */
  cached?: (folder: string) => void;
}

const program = (content: Parameters<typeof elfAt>[1] = {}): TreeItem =>
  elfAt("app/bin/prog", { interpreter: INTERPRETER, ...content });

const RULES: Rule[] = [
  {
    name: "an RPATH counts for the libraries of libraries, too",
    items: [
      program({ needed: ["liba.so"], rpath: "/app/lib:/app/deep" }),
      elfAt("app/lib/liba.so", { needed: ["libb.so"] }),
      elfAt("app/deep/libb.so"),
    ],
    expect: { loaded: ["/app/lib/liba.so", "/app/deep/libb.so"] },
  },
  {
    name: "a RUNPATH counts only for its own object",
    items: [
      program({ needed: ["liba.so"], runpath: "/app/lib" }),
      elfAt("app/lib/liba.so", { needed: ["libb.so"] }),
      elfAt("app/lib/libb.so"),
    ],
    expect: { loaded: ["/app/lib/liba.so"], missing: ["libb.so"] },
  },
  {
    name: "a RUNPATH hides the RPATH of its own object",
    items: [program({ needed: ["liba.so"], rpath: "/app/lib", runpath: "/app/other" }), elfAt("app/lib/liba.so")],
    expect: { loaded: [], missing: ["liba.so"] },
  },
  {
    name: "a RUNPATH hides inherited RPATHs",
    items: [
      program({ needed: ["liba.so"], rpath: "/app/lib" }),
      elfAt("app/lib/liba.so", { needed: ["libb.so"], runpath: "/app/none" }),
      elfAt("app/lib/libb.so"),
    ],
    expect: { loaded: ["/app/lib/liba.so"], missing: ["libb.so"] },
  },
  {
    name: "a library that is loaded under its SONAME is not searched for again",
    items: [
      program({ needed: ["libfirst.so", "liba.so"], runpath: "/app/lib" }),
      elfAt("app/lib/libfirst.so", { soname: "libreal.so.1" }),
      elfAt("app/lib/liba.so", { needed: ["libreal.so.1"] }),
    ],
    expect: { loaded: ["/app/lib/libfirst.so", "/app/lib/liba.so"] },
  },
  {
    name: "loading is breadth first: a library of the program comes before those of its libraries",
    items: [
      program({ needed: ["liba.so", "libshared.so"], rpath: "/app/lib" }),
      elfAt("app/lib/liba.so", { needed: ["libshared.so"], rpath: "/app/own" }),
      elfAt("app/own/libshared.so"),
      elfAt("app/lib/libshared.so"),
    ],
    expect: { loaded: ["/app/lib/liba.so", "/app/lib/libshared.so"] },
  },
  {
    name: "folders for better processors come first",
    items: [
      program({ needed: ["liba.so"], rpath: "/app/lib" }),
      elfAt("app/lib/liba.so"),
      elfAt("app/lib/glibc-hwcaps/x86-64-v2/liba.so"),
      elfAt("app/lib/glibc-hwcaps/x86-64-v4/libb.so"),
    ],
    level: 2,
    expect: { loaded: ["/app/lib/glibc-hwcaps/x86-64-v2/liba.so"] },
  },
  {
    name: "libraries of another machine and of another size are passed over",
    items: [
      program({ needed: ["liba.so"], rpath: "/app/arm:/app/small:/app/lib" }),
      elfAt("app/arm/liba.so", { machine: 183 }),
      elfAt("app/small/liba.so", { machine: 3, bits: 32 }),
      elfAt("app/lib/liba.so"),
    ],
    expect: { loaded: ["/app/lib/liba.so"] },
  },
  {
    name: "$ORIGIN of a library is the folder in which it was found, even if that is a link",
    items: [
      program({ needed: ["liba.so"], rpath: "$ORIGIN/../links" }),
      { type: "symlink", path: "app/links/liba.so", target: "../real/liba.so" },
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the loader expands it.
      elfAt("app/real/liba.so", { needed: ["libb.so"], rpath: "${ORIGIN}/next" }),
      elfAt("app/links/next/libb.so"),
      elfAt("app/real/next/libb.so"),
    ],
    expect: { loaded: ["/app/real/liba.so", "/app/links/next/libb.so"] },
  },
  {
    // $PLATFORM is not compared: before glibc 2.37 it depends on the processor.
    name: "$LIB is the folder of the loader's first path, and no part of a longer word",
    items: [
      program({ needed: ["liba.so", "libb.so"], rpath: "/app/$LIB:/app/$LIBRARY" }),
      elfAt("app/lib/x86_64-linux-gnu/liba.so"),
      elfAt("app/lib/x86_64-linux-gnuRARY/libb.so"),
    ],
    expect: { loaded: ["/app/lib/x86_64-linux-gnu/liba.so"], missing: ["libb.so"] },
  },
  {
    name: "a name with a slash is a path",
    items: [
      program({ needed: ["/app/own/liba.so", "/app/own/libnone.so"], rpath: "/app/lib" }),
      elfAt("app/own/liba.so"),
      elfAt("app/lib/liba.so"),
    ],
    expect: { loaded: ["/app/own/liba.so"], missing: ["/app/own/libnone.so"] },
  },
  {
    name: "a chain of three libraries",
    items: [
      program({ needed: ["liba.so"], rpath: "/app/1" }),
      elfAt("app/1/liba.so", { needed: ["libb.so"], rpath: "/app/2" }),
      elfAt("app/2/libb.so", { needed: ["libc1.so", "libd.so"] }),
      elfAt("app/1/libc1.so", { soname: "libc1.so" }),
      elfAt("app/2/libd.so"),
    ],
    expect: { loaded: ["/app/1/liba.so", "/app/2/libb.so", "/app/1/libc1.so", "/app/2/libd.so"] },
  },
  {
    name: "one file under two names is loaded once",
    items: [
      program({ needed: ["liba.so", "libb.so"], rpath: "/app/lib" }),
      elfAt("app/lib/liba.so"),
      { type: "hardlink", path: "app/lib/libb.so", target: "app/lib/liba.so" },
    ],
    expect: { loaded: ["/app/lib/liba.so"] },
  },
  {
    name: "LD_LIBRARY_PATH comes after RPATH",
    items: [
      program({ needed: ["liba.so", "libb.so"], rpath: "/app/lib" }),
      elfAt("app/lib/liba.so"),
      elfAt("app/env/liba.so"),
      elfAt("app/env/libb.so"),
    ],
    libraryPath: "/app/env",
    expect: { loaded: ["/app/lib/liba.so", "/app/env/libb.so"] },
  },
  {
    name: "LD_LIBRARY_PATH comes before RUNPATH",
    items: [program({ needed: ["liba.so"], runpath: "/app/lib" }), elfAt("app/lib/liba.so"), elfAt("app/env/liba.so")],
    libraryPath: "/app/none:/app/env/",
    expect: { loaded: ["/app/env/liba.so"] },
  },
  {
    name: "the folders that are compiled into the loader",
    items: [
      program({ needed: ["liba.so", "libb.so", "libc1.so"] }),
      elfAt("lib/x86_64-linux-gnu/liba.so"),
      elfAt("usr/lib/liba.so"),
      elfAt("usr/lib/libb.so"),
      elfAt("usr/local/lib/libc1.so"),
    ],
    expect: { loaded: ["/lib/x86_64-linux-gnu/liba.so", "/usr/lib/libb.so"], missing: ["libc1.so"] },
  },
  {
    name: "an object that skips the defaults is searched for in its own paths only",
    items: [program({ needed: ["liba.so"], skipsDefaults: true }), elfAt("lib/x86_64-linux-gnu/liba.so")],
    expect: { loaded: [], missing: ["liba.so"] },
  },
  {
    name: "the configuration of the cache changes nothing without a cache",
    items: [
      program({ needed: ["liba.so"] }),
      elfAt("usr/local/lib/liba.so", { soname: "liba.so" }),
      { type: "file", path: "etc/ld.so.conf", content: "/usr/local/lib\n" },
    ],
    expect: { loaded: [], missing: ["liba.so"] },
  },
  {
    name: "the cache is searched, before the loader's own folders",
    items: [
      program({ needed: ["liba.so"] }),
      elfAt("usr/local/lib/liba.so", { soname: "liba.so" }),
      elfAt("usr/lib/liba.so", { soname: "liba.so" }),
      { type: "file", path: "etc/ld.so.conf", content: "/usr/local/lib\n" },
    ],
    cached: () => {},
    expect: { loaded: ["/usr/local/lib/liba.so"] },
  },
  {
    name: "an entry of the cache whose file is gone leads on to the loader's folders",
    items: [
      program({ needed: ["liba.so", "libb.so"] }),
      elfAt("usr/local/lib/liba.so", { soname: "liba.so" }),
      elfAt("usr/local/lib/libb.so", { soname: "libb.so" }),
      elfAt("usr/lib/liba.so", { soname: "liba.so" }),
      { type: "file", path: "etc/ld.so.conf", content: "/usr/local/lib\n" },
    ],
    cached: (folder) => rmSync(join(folder, "usr/local"), { recursive: true }),
    expect: { loaded: ["/usr/lib/liba.so"], missing: ["libb.so"] },
  },
  {
    name: "a required version must be defined, wherever the library was found",
    items: [
      program({ needed: ["liba.so", "libb.so"], rpath: "/app/lib", requires: { "liba.so": ["A_1", "A_2"] } }),
      elfAt("app/lib/liba.so", { soname: "liba.so", defines: ["A_1"] }),
      elfAt("app/lib/libb.so", { needed: ["liba.so"], requires: { "liba.so": ["A_3"] } }),
    ],
    expect: { versions: ["A_2 of /app/lib/liba.so", "A_3 of /app/lib/liba.so"] },
  },
  {
    name: "weak requirements, and requirements of a library without versions, are ignored",
    items: [
      program({
        needed: ["liba.so", "libb.so"],
        rpath: "/app/lib",
        requires: { "liba.so": ["?A_2"], "libb.so": ["B_1"] },
      }),
      elfAt("app/lib/liba.so", { soname: "liba.so", defines: ["A_1"] }),
      elfAt("app/lib/libb.so", { soname: "libb.so" }),
    ],
    expect: { versions: [] },
  },
  {
    name: "the versions of the library that is loaded count, not of one of the same name elsewhere",
    items: [
      program({ needed: ["liba.so"], rpath: "/app/old:/app/new", requires: { "liba.so": ["A_2"] } }),
      elfAt("app/old/liba.so", { soname: "liba.so", defines: ["A_1"] }),
      elfAt("app/new/liba.so", { soname: "liba.so", defines: ["A_1", "A_2"] }),
    ],
    expect: { loaded: ["/app/old/liba.so"], versions: ["A_2 of /app/old/liba.so"] },
  },
  {
    name: "a program without needs",
    items: [program()],
    expect: { loaded: [], missing: [] },
  },
];

for (const { name, items, expect, program: path = "/app/bin/prog", libraryPath, level, cached } of RULES)
  test(name, async (context) => {
    if (NO_REAL_LOADER !== undefined && cached !== undefined) return context.skip(NO_REAL_LOADER);
    const folder = temporaryFolder();
    makeTree(folder, [realLoader(), ...items]);
    mkdirSync(join(folder, "etc"), { recursive: true });
    if (cached) {
      runLdconfig(folder);
      cached(folder);
    }
    const tree = new ImageTree([await factsOf(folder)]);
    const settings = { libraryPath, level: level ?? 1 };
    const said = loadedBy(tree, path, settings);
    for (const key of ["loaded", "missing", "versions"] as const)
      if (expect[key] !== undefined) assert.deepEqual(said[key], expect[key], key);
    if (NO_REAL_LOADER !== undefined) return context.diagnostic(`not compared: ${NO_REAL_LOADER}`);
    if ((level ?? 1) > realLevel()) return context.diagnostic("not compared: this processor is older");
    assert.deepEqual(said, loadedInReality(folder, tree, path, libraryPath), "the real loader");
  });
