// Proves what a check says about images: errors for programs that do not start, warnings, and silence.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../../lib/loader/finding.ts";
import { parseLayerFacts, writeLayerFacts } from "../../lib/loader/layer-facts.ts";
import type { NamedSpec } from "../../lib/loader/packages.ts";
import { checkStart } from "../../lib/loader/start-check.ts";
import type { loadableElf } from "../support/loadable-elf.ts";
import { elfAt, INTERPRETER, layerOf } from "../support/loading.ts";
import type { TreeItem } from "../support/tree.ts";

const A: NamedSpec = { name: "app", version: "1.0", hash: "a".repeat(32) };
const B: NamedSpec = { name: "lib", version: "2.0", hash: "b".repeat(32) };
const RUNTIME: NamedSpec = { name: "gcc-runtime", version: "12", hash: "c".repeat(32) };
const prefix = ({ name, version, hash }: NamedSpec): string => `store/${name}-${version}-${hash}`;
const [APP, LIB] = [prefix(A), prefix(B)];

const GLIBC = ["GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.31", "GLIBC_PRIVATE"];
const BASE: TreeItem[] = [
  elfAt("lib64/ld-linux-x86-64.so.2", { soname: "ld-linux-x86-64.so.2", defines: GLIBC }),
  elfAt("usr/lib64/libc.so.6", {
    soname: "libc.so.6",
    defines: GLIBC,
    text: "GNU C Library (Old GLIBC 2.32-1) stable release version 2.32.\nCopyright",
  }),
  { type: "file", path: "bin/sh", content: "shell", mode: 0o755 },
  { type: "file", path: "usr/bin/env", content: "env", mode: 0o755 },
  { type: "file", path: "usr/bin/python3", content: "python", mode: 0o755 },
  { type: "file", path: "etc/os-release", content: 'NAME=Old\nPRETTY_NAME="Old Linux 11"\n' },
];
const MUSL: TreeItem[] = [
  elfAt("lib/ld-musl-x86_64.so.1", { soname: "libc.musl-x86_64.so.1" }),
  elfAt("usr/lib/libz.so.1", { soname: "libz.so.1" }),
];

const program = (more: Parameters<typeof loadableElf>[0] = {}, path = "bin/prog"): TreeItem =>
  elfAt(`${APP}/${path}`, { interpreter: INTERPRETER, needed: ["libc.so.6"], rpath: `/${LIB}/lib`, ...more });
const script = (first: string, path = "bin/tool"): TreeItem => ({
  type: "file",
  path: `${APP}/${path}`,
  content: `${first}\n`,
  mode: 0o755,
});

interface Case {
  name: string;
  base?: TreeItem[];
  app?: TreeItem[];
  lib?: TreeItem[];
  libSpec?: NamedSpec;
  env?: string[];
  /** `severity CODE package file subject` of each finding. */
  expect: string[];
  /** Of the first finding. */
  message?: RegExp;
  fix?: RegExp;
  more?: Partial<Finding>;
}

const CASES: Case[] = [
  { name: "a program with all it needs", app: [program()], expect: [] },
  {
    name: "a library that is nowhere, although its prefix is searched",
    app: [program({ needed: ["libgone.so.1"], rpath: `/store/gone-1-${"d".repeat(32)}/lib` })],
    expect: ["error LIBRARY_MISSING app@1.0/aaaaaaa prog libgone.so.1"],
    message: /prog of app@1.0\/aaaaaaa needs libgone.so.1, which is nowhere in the image/,
    fix: /add gone-1-d{32} to the image/,
  },
  {
    name: "a library that a library of the program needs",
    app: [program({ needed: ["libmid.so"] })],
    lib: [elfAt(`${LIB}/lib/libmid.so`, { needed: ["libgone.so"] })],
    expect: ["error LIBRARY_MISSING app@1.0/aaaaaaa prog libgone.so"],
    more: { neededBy: `/${LIB}/lib/libmid.so` },
  },
  {
    name: "a library in a folder that is not searched",
    app: [program({ needed: ["libother.so"] })],
    lib: [elfAt(`${LIB}/elsewhere/libother.so`)],
    expect: ["error LIBRARY_MISSING app@1.0/aaaaaaa prog libother.so"],
    message: /lib@2.0\/bbbbbbb has it in \/store\/lib-2.0-b{32}\/elsewhere, where it is not searched for/,
    fix: /LD_LIBRARY_PATH/,
  },
  {
    name: "LD_LIBRARY_PATH of the image",
    app: [program({ needed: ["libother.so"] })],
    lib: [elfAt(`${LIB}/elsewhere/libother.so`)],
    env: [`LD_LIBRARY_PATH=/${LIB}/elsewhere`],
    expect: [],
  },
  {
    name: "a glibc that is too old: one finding, which names the newest version that is needed",
    app: [
      program({ requires: { "libc.so.6": ["GLIBC_2.17", "GLIBC_2.34"] } }, "bin/first"),
      program({ requires: { "libc.so.6": ["GLIBC_2.9", "GLIBC_2.36"] } }, "bin/second"),
    ],
    expect: ["error LIBC_TOO_OLD app@1.0/aaaaaaa second glibc"],
    // The release is newer than the newest version that it defines.
    message: /second of app@1.0\/aaaaaaa needs glibc 2.36, but the image has 2.32/,
    fix: /use a base image with glibc 2.36 or later, for example debian:12-slim/,
    more: { files: 2, required: "GLIBC_2.36", found: "GLIBC_2.32" },
  },
  {
    name: "a version of another library",
    app: [program({ needed: ["libx.so"], requires: { "libx.so": ["X_1.2", "X_1.10"] } })],
    lib: [elfAt(`${LIB}/lib/libx.so`, { defines: ["X_1.2", "X_1.9"] })],
    expect: [`error VERSION_MISSING app@1.0/aaaaaaa prog /${LIB}/lib/libx.so`],
    more: { required: "X_1.10", found: "X_1.9" },
  },
  {
    name: "another loader than that of the base: one finding for all programs",
    base: MUSL,
    app: [program({}, "bin/first"), program({}, "bin/second")],
    expect: [`error INTERPRETER_MISSING app@1.0/aaaaaaa first ${INTERPRETER}`],
    message: /needs the loader .*, which is not in the image: its C library is musl/,
    fix: /base image with glibc/,
    more: { files: 2, found: "musl" },
  },
  {
    name: "no base at all",
    base: [],
    app: [program()],
    expect: [`error INTERPRETER_MISSING app@1.0/aaaaaaa prog ${INTERPRETER}`],
    message: /it has no C library/,
  },
  {
    name: "programs for musl over musl",
    base: MUSL,
    app: [
      elfAt(`${APP}/bin/prog`, {
        interpreter: "/lib/ld-musl-x86_64.so.1",
        needed: ["libc.musl-x86_64.so.1", "libz.so.1", "libm.so.6", "libmid.so"],
        runpath: `/${LIB}/lib`,
      }),
    ],
    // musl inherits RUNPATH, and checks no versions.
    lib: [elfAt(`${LIB}/lib/libmid.so`, { needed: ["libdeep.so"] }), elfAt(`${LIB}/lib/libdeep.so`)],
    expect: [],
  },
  {
    name: "a folder in musl's own search path replaces the default ones",
    base: [...MUSL, { type: "file", path: "etc/ld-musl-x86_64.path", content: "/lib\n/opt/lib\n" }],
    app: [elfAt(`${APP}/bin/prog`, { interpreter: "/lib/ld-musl-x86_64.so.1", needed: ["libz.so.1"] })],
    expect: ["error LIBRARY_MISSING app@1.0/aaaaaaa prog libz.so.1"],
  },
  {
    name: "a library of the base although a spec has it",
    base: [...BASE, elfAt("usr/lib64/libz.so.1", { soname: "libz.so.1" })],
    app: [program({ needed: ["libz.so.1"], rpath: "/nowhere" })],
    lib: [elfAt(`${LIB}/lib/libz.so.1`, { soname: "libz.so.1" })],
    expect: ["warning FOUND_IN_BASE app@1.0/aaaaaaa prog libz.so.1"],
    message: /loads \/usr\/lib64\/libz.so.1 of the base image, although lib@2.0\/bbbbbbb has libz.so.1/,
  },
  {
    name: "a library of the base that no spec has",
    base: [...BASE, elfAt("usr/lib64/libz.so.1", { soname: "libz.so.1" })],
    app: [program({ needed: ["libz.so.1"] })],
    expect: [],
  },
  {
    name: "a module that its interpreter completes: silent, because a library of that name is there",
    app: [program(), elfAt(`${APP}/lib/module.so`, { needed: ["libother.so.1"] })],
    lib: [elfAt(`${LIB}/elsewhere/libother.so.1`, { soname: "libother.so.1" })],
    expect: [],
  },
  {
    name: "a library that nothing loads, and that needs one that is nowhere: a warning",
    app: [program(), elfAt(`${APP}/lib/module.so`, { needed: ["libgone.so.1"] })],
    expect: ["warning LIBRARY_MISSING app@1.0/aaaaaaa module.so libgone.so.1"],
  },
  {
    name: "libraries of gcc-runtime that nothing loads: silent",
    app: [program()],
    lib: [elfAt(`${prefix(RUNTIME)}/lib/libgfortran.so.5`, { needed: ["libquadmath.so.0"] })],
    libSpec: RUNTIME,
    expect: [],
  },
  {
    name: "libraries of drivers",
    app: [program({ needed: ["libcuda.so.1", "libnvidia-ml.so.1", "libGL.so.1"] })],
    expect: [],
  },
  {
    name: "a static program, object files and debug files",
    app: [
      elfAt(`${APP}/bin/static`),
      elfAt(`${APP}/lib/debug/prog.debug`, { interpreter: INTERPRETER, needed: ["libgone.so"] }),
      { type: "file", path: `${APP}/lib/half.so`, content: "\x7fELF", mode: 0o755 },
    ],
    expect: [],
  },
  {
    name: "a program of another machine in a bin folder; elsewhere such files are data",
    app: [program({ machine: 183 }), program({ machine: 183 }, "share/firmware")],
    expect: ["error ARCHITECTURE app@1.0/aaaaaaa prog amd64"],
  },
  {
    name: "scripts whose interpreters are there",
    app: [
      script("#!/bin/sh -e"),
      script("#!/usr/bin/env python3", "bin/a"),
      script("#! /usr/bin/env -S X=1 python3 -u", "bin/b"),
      script("#!/usr/bin/python2", "share/data"),
    ],
    expect: [],
  },
  {
    name: "scripts whose interpreters are not there",
    app: [
      script(`#!/store/perl-5-${"e".repeat(32)}/bin/perl`, "bin/a"),
      script("#!/usr/bin/env ruby", "bin/b"),
      script(`#!/bin/sh /store/bin/sbang\n#!/${LIB}/bin/x`, "bin/c"),
      script("#!/usr/bin/python2", "libexec/d"),
    ],
    expect: [
      `error SCRIPT_INTERPRETER_MISSING app@1.0/aaaaaaa a /store/perl-5-${"e".repeat(32)}/bin/perl`,
      "warning SCRIPT_INTERPRETER_MISSING app@1.0/aaaaaaa b ruby",
      "warning SCRIPT_INTERPRETER_MISSING app@1.0/aaaaaaa c /store/bin/sbang",
      "warning SCRIPT_INTERPRETER_MISSING app@1.0/aaaaaaa d /usr/bin/python2",
    ],
  },
];

for (const { name, base = BASE, app = [], lib = [], libSpec = B, env = [], expect, message, fix, more } of CASES)
  test(name, async () => {
    // Through the form in which facts are remembered, so that nothing is lost in it.
    const layers = (await Promise.all([base, lib, app].map(layerOf))).map((facts) => {
      const again = parseLayerFacts(writeLayerFacts(facts));
      assert.deepEqual(again, facts);
      return facts;
    });
    const parts = [
      { isBase: true, specs: [] },
      { isBase: false, specs: [libSpec] },
      { isBase: false, specs: [A] },
    ];
    const { findings } = checkStart({ layers, parts, env, architecture: "amd64" });
    const last = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
    assert.deepEqual(
      findings.map((each) => `${each.severity} ${each.code} ${each.package} ${last(each.file)} ${each.subject}`),
      expect,
    );
    const [first] = findings;
    if (message) assert.match(first?.message ?? "", message);
    if (fix) assert.match(first?.fix ?? "", fix);
    for (const [key, value] of Object.entries(more ?? {})) assert.equal(first?.[key as keyof Finding], value, key);
  });

test("what a base is: its C library and its name", async () => {
  const layers = await Promise.all([BASE, [program()]].map(layerOf));
  const parts = [
    { isBase: true, specs: [] },
    { isBase: false, specs: [A] },
  ];
  const { libc, system, checked } = checkStart({ layers, parts, env: [], architecture: "amd64" });
  assert.deepEqual(libc, { kind: "glibc", version: "2.32" });
  assert.equal(system, "Old Linux 11");
  assert.deepEqual(checked, { programs: 1, libraries: 0, scripts: 0, unread: 0 });
});

test("remembered facts that are damaged or of another version are read again", async () => {
  const bytes = writeLayerFacts(await layerOf(BASE));
  assert.equal(parseLayerFacts(bytes.subarray(0, bytes.length - 3)), undefined);
  assert.equal(parseLayerFacts(Buffer.from("{}")), undefined);
});
