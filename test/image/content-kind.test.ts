// Proves what files are for, by their paths.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ContentFile, type ContentKind, contentKind } from "../../lib/image/content-kind.ts";

const KINDS: [ContentKind, string, Partial<ContentFile>?][] = [
  ["programs", "bin/tool", { elf: "program", isExecutable: true }],
  ["libraries", "lib/liba.so.1", { elf: "library" }],
  ["libraries", "lib/python3.12/site-packages/a.so", { elf: "library" }],
  ["scripts", "bin/script", { isExecutable: true }],
  ["scripts", "lib/python3.12/os.py"],
  ["data", "share/locale/de/x.mo"],
  ["data", "share/information/x"],
  ["headers", "include/a.h"],
  ["headers", "lib/a.mod"],
  ["static libraries", "lib/liba.a"],
  ["static libraries", "lib/liba.la"],
  ["build files", "lib/pkgconfig/a.pc"],
  ["build files", "lib/cmake/a/aConfig.cmake"],
  ["documentation", "share/man/man1/a.1"],
  ["documentation", "share/doc/a/README"],
  ["data", "LICENSE.txt"],
  ["data", "include/x.conf"],
  ["headers", "include/c++/vector"],
  ["data", "lib/python3.12/site-packages/a/man/x.txt"],
  ["documentation", "man/de/man1/a.1"],
  ["scripts", "lib/python3.12/site-packages/a/tests/helper.py"],
  ["tests", "lib/python3.12/site-packages/a/tests/sub/test_b.py"],
  ["tests", "lib/python3.12/site-packages/a/tests/data/b.txt"],
  ["scripts", "lib/python3.12/site-packages/django/test/runner.py"],
  ["tests", "share/a/tests/b.txt"],
  ["scripts", "lib/python3.12/only.pyc.py"],
  ["data", "lib/python3.12/only.pyc"],
  ["tests", "lib/python3.12/test/test_os.py"],
  ["bytecode", "lib/python3.12/__pycache__/os.cpython-312.pyc"],
  ["bytecode", "lib/python3.12/test/__pycache__/x.pyc"],
  ["build logs", ".spack/spack-build-out.txt.gz"],
  ["metadata", ".spack/spec.json"],
  ["metadata", ".spack/repos/builtin/packages/a/package.py"],
];

for (const [kind, path, more] of KINDS)
  test(`${path} is for ${kind}`, () =>
    assert.equal(contentKind({ path: `/${path}`, elf: undefined, isExecutable: false, ...more }), kind));
