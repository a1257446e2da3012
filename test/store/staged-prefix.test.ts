// Prefixes that are made beside their place: complete or not there, whatever was killed, and never outside the store.
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { writeInstalledSpec, writeInstallTimes } from "../../lib/relocate/metadata.ts";
import type { SpecNode } from "../../lib/spack/node.ts";
import { readInstalledSpec } from "../../lib/spack/prefix.ts";
import type { Store } from "../../lib/spack/store.ts";
import { placeInStore } from "../../lib/store/place.ts";
import { directoryMode, removeLeftovers, removePrefix, StagedPrefix } from "../../lib/store/staged-prefix.ts";
import { failsWith } from "../support/errors.ts";
import { named } from "../support/push.ts";
import { copyOf, locksOf, openStore, SPACK_1 } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

interface Given {
  store: Store;
  node: SpecNode;
  /** Where the prefix is on this machine. */
  place: string;
}

async function given(name = "rigging"): Promise<Given> {
  const store = await openStore(SPACK_1, await copyOf(SPACK_1));
  const node = named(store, name);
  return { store, node, place: store.locate(store.prefixOf(node)) };
}

const MODE = { mode: 0o755 };
const leftovers = (place: string): string[] => readdirSync(dirname(place)).filter((name) => name.startsWith("."));

test("what is committed is in its place, what is not is gone", async () => {
  const { store, node, place } = await given();
  rmSync(place, { recursive: true });
  {
    await using staged = await StagedPrefix.create(store, node, MODE);
    assert.equal(dirname(staged.directory), dirname(place));
    assert.equal(staged.prefix, store.prefixOf(node));
    writeFileSync(join(staged.directory, "half"), "");
  }
  assert.ok(!existsSync(place));
  assert.deepEqual(leftovers(place), []);
  await using staged = await StagedPrefix.create(store, node, { mode: 0o2750 });
  writeInstalledSpec(staged.directory, node, store.database.graph);
  writeInstallTimes(staged.directory, node, [
    { path: "fetch", seconds: 1 },
    { path: "install", seconds: 2 },
    { path: "install/extract", seconds: 1.5 },
  ]);
  await staged.commit();
  assert.equal(statSync(place).mode & 0o7777, 0o2750);
  assert.equal((await readInstalledSpec(store, { node, installed: true })).root.hash, node.hash);
  assert.deepEqual(JSON.parse(readFileSync(join(place, ".spack/install_times.json"), "utf8")), {
    total: 3,
    phases: [
      { name: "fetch", path: "fetch", seconds: 1, count: 1 },
      { name: "install", path: "install", seconds: 2, count: 1 },
      { name: "extract", path: "install/extract", seconds: 1.5, count: 1 },
    ],
    name: "rigging",
    cache: true,
    hash: node.hash,
  });
});

test("the spec file is the one that Spack wrote", async () => {
  const { store, node, place } = await given("fleet");
  const folder = temporaryFolder();
  writeInstalledSpec(folder, node, store.database.graph);
  assert.equal(
    readFileSync(join(folder, ".spack/spec.json"), "utf8"),
    readFileSync(join(place, ".spack/spec.json"), "utf8"),
  );
});

test("a prefix is replaced only when that is wanted, and comes back when it cannot be", async () => {
  const { store, node, place } = await given();
  await failsWith("CONFLICT", StagedPrefix.create(store, node, MODE), /is there already/);
  assert.deepEqual(leftovers(place), []);
  {
    await using staged = await StagedPrefix.create(store, node, { ...MODE, replace: true });
    rmSync(staged.directory, { recursive: true });
    await failsWith("NOT_FOUND", staged.commit());
  }
  assert.ok(existsSync(join(place, ".spack/spec.json")));
  await using staged = await StagedPrefix.create(store, node, { ...MODE, replace: true });
  writeFileSync(join(staged.directory, "newer"), "");
  assert.ok(existsSync(join(place, ".spack/spec.json")));
  await staged.commit();
  assert.deepEqual(readdirSync(place), ["newer"]);
  assert.deepEqual(leftovers(place), []);
});

test("the next run puts right what a killed one left", async () => {
  const { store, node, place } = await given();
  const left = (kind: string): string => join(dirname(place), `.stave-${kind}-${node.hash}-${place.split("/").at(-1)}`);
  // Killed between the two renames of a replacement.
  mkdirSync(join(left("new"), "lib"), { recursive: true });
  renameSync(place, left("old"));
  await using staged = await StagedPrefix.create(store, node, { ...MODE, replace: true });
  assert.ok(existsSync(join(place, ".spack/spec.json")));
  assert.deepEqual(readdirSync(staged.directory), []);
  await staged.commit();
  // Killed before the old one was removed.
  mkdirSync(left("old"));
  mkdirSync(join(left("gone"), "locked/inner"), { recursive: true });
  chmodSync(join(left("gone"), "locked"), 0o555);
  await (await StagedPrefix.create(store, node, { ...MODE, replace: true }))[Symbol.asyncDispose]();
  assert.ok(existsSync(place));
  assert.deepEqual(leftovers(place), []);
});

test("leftovers of other specs are put right too, unless somebody works on them", async () => {
  const { store, node, place } = await given();
  const [hull, paddle] = [named(store, "hull"), named(store, "paddle")];
  const folder = dirname(place);
  mkdirSync(join(folder, `.stave-new-${hull.hash}-hull`));
  renameSync(store.locate(store.prefixOf(paddle)), join(folder, `.stave-old-${paddle.hash}-paddle-3.1-${paddle.hash}`));
  mkdirSync(join(folder, ".stave-new-of-somebody-else"));
  await using mine = locksOf(store);
  await using other = locksOf(store);
  const release = await other.prefix(hull.hash, "exclusive");
  assert.equal(await removeLeftovers(store, mine, node), 1);
  assert.ok(existsSync(store.locate(store.prefixOf(paddle))));
  assert.equal(await removeLeftovers(store, locksOf(store, { isEnabled: false }), node), 0);
  assert.equal(leftovers(place).length, 2);
  release();
  assert.equal(await removeLeftovers(store, mine, node), 1);
  assert.deepEqual(leftovers(place), [".stave-new-of-somebody-else"]);
});

test("locks on specs: many rely on one, one writes it", async () => {
  const { store, node } = await given();
  await using mine = locksOf(store);
  await using other = locksOf(store, { packageTimeout: 0 });
  const [a, b] = await Promise.all([mine.prefix(node.hash, "shared"), mine.prefix(node.hash, "shared")]);
  const shared = await other.prefix(node.hash, "shared");
  shared();
  await failsWith("CONFLICT", other.prefix(node.hash, "exclusive"), /prefix_lock.*0 s have passed/);
  await failsWith("INTERNAL", mine.prefix(node.hash, "exclusive"));
  a();
  a();
  assert.equal(await other.tryPrefix(node.hash), undefined);
  b();
  await systemTurn();
  const release = await other.tryPrefix(node.hash);
  assert.ok(release);
  assert.equal(await mine.tryPrefix(node.hash), undefined);
  release();
});

const systemTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a prefix is removed, and only one of the store", async () => {
  const { store, node, place } = await given();
  chmodSync(join(place, ".spack"), 0o555);
  assert.equal(await removePrefix(store, node), true);
  assert.ok(!existsSync(place));
  assert.equal(await removePrefix(store, node), false);
  assert.deepEqual(leftovers(place), []);
});

test("nothing outside the store is written or removed", async () => {
  const sysroot = await copyOf(SPACK_1);
  const store = await openStore(SPACK_1, sysroot);
  const { root } = store;
  mkdirSync(join(sysroot, "outside"));
  symlinkSync("/outside", join(sysroot, root, "elsewhere"));
  symlinkSync("/nowhere", join(sysroot, root, "dangling"));
  symlinkSync("linux-x86_64", join(sysroot, root, "alias"));
  const refused = [
    "/outside/x",
    root,
    `${root}/`,
    `${root}x/y`,
    `${root}/../x`,
    `${root}/a/../b`,
    `${root}/a//b`,
    `${root}/./a`,
    `${root}/a\0b`,
    `${root}/.spack-db/x`,
    `${root}/.spack-db`,
    `${root}/elsewhere/x`,
    `${root}/dangling/x`,
    "relative",
    "",
  ];
  for (const prefix of refused) {
    const error = await failsWith("FILE_SYSTEM", placeInStore(store, prefix));
    assert.match(error.message, /not inside the store/, prefix);
  }
  for (const prefix of [`${root}/a/b`, `${root}/linux-x86_64/x`, `${root}/alias/x`, `${root}/elsewhere`])
    assert.equal((await placeInStore(store, prefix)).prefix, prefix);
  // Without a sysroot the links are those of this machine.
  const direct = { root: join(sysroot, root), locate: (path: string) => path };
  await failsWith("FILE_SYSTEM", placeInStore({ ...direct, root: "/opt" }, "/etc/x"));
  rmSync(join(direct.root, "elsewhere"));
  symlinkSync(join(sysroot, "outside"), join(direct.root, "elsewhere"));
  await failsWith("FILE_SYSTEM", placeInStore(direct, `${direct.root}/elsewhere/x`), /a symbolic link leads to/);
});

test("modes of folders follow the permissions of a package", () => {
  const cases = [
    { read: "world", write: "user", allowSetgid: true, mode: 0o2755 },
    { read: "world", write: "user", allowSetgid: false, mode: 0o755 },
    { read: "group", write: "group", allowSetgid: true, mode: 0o2770 },
    { read: "user", write: "user", allowSetgid: true, mode: 0o700 },
    { read: "world", write: "world", allowSetgid: false, mode: 0o777 },
  ] as const;
  for (const { mode, ...permissions } of cases) assert.equal(directoryMode({ ...permissions, group: undefined }), mode);
});
