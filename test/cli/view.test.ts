// Proves that `stave view` links the right files, reports conflicts, and leaves other files alone.
import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { view } from "../../lib/ops/store/view.ts";
import type { Store } from "../../lib/spack/store/store.ts";
import { stave } from "../support/cli.ts";
import { failsWith } from "../support/errors.ts";
import { named } from "../support/push.ts";
import { copyOf, openStore, SPACK_1 } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

let sysroot = "";
let store: Store;
let voyage = "";
before(async () => {
  sysroot = await copyOf(SPACK_1);
  store = await openStore(SPACK_1, sysroot);
  voyage = store.prefixOf(named(store, "voyage"));
});
const flags = (): string[] => ["--store", SPACK_1.root, "--sysroot", sysroot, "--no-env"];
const run = (directory: string, ...args: string[]) => stave(["view", directory, ...args, ...flags()]);
const inStore = (prefix: string, path: string): string => join(sysroot, prefix, path);

test("every file of the specs and of what they need is there once, by a link to its recorded path", async () => {
  const directory = join(temporaryFolder(), "a/view");
  const ran = await run(directory, "voyage", "--json");
  assert.equal(ran.status, 0, ran.stderr);
  const { report } = JSON.parse(ran.stdout);
  assert.equal(report.links, report.made);
  assert.ok(report.specs.length >= 4);
  assert.equal(readlinkSync(join(directory, "bin/voyage")), `${voyage}/bin/voyage`);
  assert.equal(readlinkSync(join(directory, ".spack/voyage/spec.json")), `${voyage}/.spack/spec.json`);
  assert.deepEqual(readdirSync(join(directory, ".spack")).toSorted(), [
    "gcc-runtime",
    "hull",
    "paddle",
    "rigging",
    "voyage",
    "zlib-ish",
  ]);
  let links = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true, encoding: "utf8" })) {
    if (entry.isDirectory()) continue;
    links++;
    assert.ok(entry.isSymbolicLink(), entry.name);
    const target = readlinkSync(join(entry.parentPath, entry.name));
    assert.ok(target.startsWith(`${SPACK_1.root}/linux-x86_64/`), target);
    assert.ok(lstatSync(join(sysroot, target)), target);
  }
  assert.equal(links, report.links);
  // A second run has nothing to do, and another spec is added.
  const again = JSON.parse((await run(directory, "voyage", "--json")).stdout).report;
  assert.deepEqual([again.links, again.made], [links, 0]);
  const more = JSON.parse((await run(directory, "fleet", "--json")).stdout).report;
  assert.ok(more.made > 0 && more.made < more.links);
  assert.ok(
    existsSync(join(directory, ".spack/fleet")) === false || lstatSync(join(directory, ".spack/fleet")).isDirectory(),
  );
});

test("only what was named, and real names of the files", async () => {
  const directory = join(temporaryFolder(), "view");
  const ran = await run(directory, "voyage", "--no-dependencies", "--hardlink");
  assert.equal(ran.status, 0, ran.stderr);
  assert.deepEqual(readdirSync(join(directory, ".spack")), ["voyage"]);
  assert.equal(statSync(join(directory, "bin/voyage")).ino, statSync(inStore(voyage, "bin/voyage")).ino);
  assert.equal((await run(directory, "voyage", "--no-dependencies", "--hardlink")).status, 0);
  assert.match(ran.stdout, /view: \d+ links to 1 package\n$/);
});

test("two files in one place: the dependent's is shown and the other reported, or all is refused", async () => {
  const [mine, other] = [inStore(voyage, "LICENSE"), inStore(store.prefixOf(named(store, "hull")), "LICENSE")];
  writeFileSync(mine, "mine");
  writeFileSync(other, "other");
  const directory = join(temporaryFolder(), "view");
  const ran = await run(directory, "voyage");
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stderr, /warning: LICENSE is taken from .*voyage.*\/LICENSE; .*hull.*\/LICENSE is left out/);
  assert.equal(readlinkSync(join(directory, "LICENSE")), `${voyage}/LICENSE`);
  const strict = await run(join(directory, "strict"), "voyage", "--strict");
  assert.equal(strict.status, 6);
  assert.match(strict.stderr, /are both LICENSE in the view/);
  assert.ok(!existsSync(join(directory, "strict")));
  // The same file in two prefixes is not a conflict.
  rmSync(other);
  symlinkSync(`${voyage}/LICENSE`, other);
  assert.equal((await run(join(directory, "strict"), "voyage", "--strict")).status, 0);
  rmSync(mine);
  rmSync(other);
});

test("a folder with other contents is no view, and stays as it is", async () => {
  const directory = temporaryFolder();
  writeFileSync(join(directory, "thesis.tex"), "mine");
  const refused = await run(directory, "voyage");
  assert.equal(refused.status, 6);
  assert.match(refused.stderr, /is not a view, but has other contents: thesis\.tex \[CONFLICT\]/);
  assert.deepEqual(readdirSync(directory), ["thesis.tex"]);
  rmSync(join(directory, "thesis.tex"));
  assert.equal((await run(directory, "voyage")).status, 0);
  writeFileSync(join(directory, "thesis.tex"), "mine");
  assert.equal((await run(directory, "voyage")).status, 0);
});

test("what is foreign is not touched", async () => {
  const directory = join(temporaryFolder(), "view");
  mkdirSync(join(directory, "bin"), { recursive: true });
  writeFileSync(join(directory, "bin/voyage"), "foreign");
  writeFileSync(join(directory, "mine"), "mine");
  const refused = await run(directory, "voyage");
  assert.equal(refused.status, 6);
  assert.match(refused.stderr, /bin\/voyage is in the way of the view/);
  writeFileSync(join(directory, "share"), "foreign");
  assert.match((await run(directory, "voyage")).stderr, /\/view\/\S+ and 1 more are in the way of the view/);
  rmSync(join(directory, "share"));
  assert.deepEqual(readdirSync(directory), ["bin", "mine"]);
  // A link into the store, from an earlier view, is replaced; one to elsewhere is not, nor is a folder behind a link.
  rmSync(join(directory, "bin/voyage"));
  symlinkSync(`${SPACK_1.root}/linux-x86_64/voyage-old/bin/voyage`, join(directory, "bin/voyage"));
  assert.equal((await run(directory, "voyage")).status, 0);
  assert.equal(readlinkSync(join(directory, "bin/voyage")), `${voyage}/bin/voyage`);
  assert.equal(readFileSync(join(directory, "mine"), "utf8"), "mine");
  const behind = join(temporaryFolder(), "view");
  const outside = temporaryFolder();
  mkdirSync(behind);
  symlinkSync(outside, join(behind, "bin"));
  assert.equal((await run(behind, "voyage")).status, 6);
  assert.deepEqual(readdirSync(outside), []);
});

test("a folder and a file in one place, and two specs of one name, cannot be shown", async () => {
  const hull = store.prefixOf(named(store, "hull"));
  mkdirSync(inStore(voyage, "thing"));
  writeFileSync(inStore(hull, "thing"), "");
  const directory = join(temporaryFolder(), "view");
  assert.match((await run(directory, "voyage")).stderr, /are both thing in the view.*\[CONFLICT\]/);
  rmSync(inStore(voyage, "thing"), { recursive: true });
  rmSync(inStore(hull, "thing"));
  const node = named(store, "hull");
  const other = { ...node, hash: "a".repeat(32) };
  const options = { store, directory, dependencies: false, kind: "symlink", strict: false } as const;
  await failsWith("CONFLICT", view({ ...options, roots: [node, other] }), /cannot be in one view/);
  await failsWith("SPEC_NOT_INSTALLED", view({ ...options, roots: [other] }));
  assert.ok(!existsSync(directory));
});

test("links to folders become folders near the top, so that they can be merged", async () => {
  const hull = store.prefixOf(named(store, "hull"));
  mkdirSync(inStore(hull, "sub/lib64"), { recursive: true });
  writeFileSync(inStore(hull, "sub/lib64/extra"), "");
  symlinkSync("sub/lib64", inStore(hull, "lib64"));
  symlinkSync(".", inStore(hull, "self"));
  const directory = join(temporaryFolder(), "view");
  assert.equal((await run(directory, "hull", "--no-dependencies")).status, 0);
  assert.ok(lstatSync(join(directory, "lib64")).isDirectory());
  assert.equal(readlinkSync(join(directory, "lib64/extra")), `${hull}/lib64/extra`);
  for (const path of ["sub", "lib64", "self"]) rmSync(inStore(hull, path), { recursive: true });
});
