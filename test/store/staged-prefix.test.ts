// Proves that prefixes are complete or absent, whatever was killed, and never outside the store.
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
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { writeInstalledSpec, writeInstallTimes } from "../../lib/relocate/place/write-metadata.ts";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import { readInstalledSpec } from "../../lib/spack/store/prefix-metadata.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { writeNote } from "../../lib/store/notes.ts";
import { placeInStore } from "../../lib/store/prefix-place.ts";
import { interruptedSpecs, recoverStore } from "../../lib/store/recover.ts";
import { directoryMode, StagedPrefix } from "../../lib/store/staged-prefix.ts";
import { systemClock } from "../../lib/util/time.ts";
import { failsWith } from "../support/errors.ts";
import { named } from "../support/push.ts";
import { copyOf, locksOf, openStore, SPACK_1 } from "../support/stores.ts";
import { temporaryFolder } from "../support/tree.ts";

interface Given {
  store: Store;
  node: SpecNode;
  /** The location of the prefix on this machine. */
  place: string;
}

async function given(name = "rigging"): Promise<Given> {
  const store = await openStore(SPACK_1, await copyOf(SPACK_1));
  const node = named(store, name);
  return { store, node, place: store.locate(store.prefixOf(node)) };
}

const leftovers = (place: string): string[] => readdirSync(dirname(place)).filter((name) => name.startsWith("."));
const stagedAt = (store: Store, node: SpecNode): Promise<StagedPrefix> =>
  StagedPrefix.at(store, node.hash, store.prefixOf(node));

test("what is committed is in its place, what is not is gone", async () => {
  const { store, node, place } = await given();
  rmSync(place, { recursive: true });
  const staged = await stagedAt(store, node);
  await staged.stage(0o755);
  assert.equal(dirname(staged.directory), dirname(place));
  assert.equal(staged.prefix, store.prefixOf(node));
  writeFileSync(join(staged.directory, "half"), "");
  await staged.discard();
  assert.ok(!existsSync(place));
  assert.deepEqual(leftovers(place), []);
  await staged.stage(0o2750);
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

test("a prefix is replaced, and comes back when it cannot be", async () => {
  const { store, node, place } = await given();
  const staged = await stagedAt(store, node);
  await staged.stage(0o755);
  rmSync(staged.directory, { recursive: true });
  assert.equal(await staged.moveAside(), true);
  assert.ok(!existsSync(place));
  await failsWith("NOT_FOUND", staged.commit());
  await staged.moveBack();
  assert.ok(existsSync(join(place, ".spack/spec.json")));
  await staged.stage(0o755);
  writeFileSync(join(staged.directory, "newer"), "");
  await staged.moveAside();
  await staged.commit();
  await staged.moveBack();
  assert.deepEqual(readdirSync(place), ["newer"]);
  chmodSync(join(dirname(place), leftovers(place)[0] ?? "", ".spack"), 0o555);
  await staged.clear();
  assert.deepEqual(leftovers(place), []);
  await staged.moveAside();
  assert.equal(await staged.moveAside(), false);
});

const LEFT: { name: string; left: (staged: StagedPrefix, place: string) => Promise<void>; isRecorded: boolean }[] = [
  { name: "a prefix that is half made", left: (staged) => staged.stage(0o755), isRecorded: false },
  { name: "a prefix in its place that is not recorded", left: async () => {}, isRecorded: false },
  {
    name: "a prefix moved aside and still recorded",
    left: async (staged) => void (await staged.moveAside()),
    isRecorded: true,
  },
  {
    name: "a prefix moved aside and forgotten",
    left: async (staged) => void (await staged.moveAside()),
    isRecorded: false,
  },
  {
    name: "a new prefix in its place, and the old one beside it",
    left: async (staged, place) => {
      await staged.moveAside();
      mkdirSync(join(place, "new"), { recursive: true });
    },
    isRecorded: true,
  },
];
for (const { name, left, isRecorded } of LEFT)
  test(`the next run puts right what a killed one left: ${name}`, async () => {
    const { store, node, place } = await given();
    if (!isRecorded) {
      const database = JSON.parse(readFileSync(store.locate(`${store.root}/.spack-db/index.json`), "utf8"));
      database.database.installs[node.hash].installed = false;
      writeFileSync(store.locate(`${store.root}/.spack-db/index.json`), JSON.stringify(database));
    }
    await left(await stagedAt(store, node), place);
    await writeNote(store, node.hash, store.prefixOf(node));
    await using mine = locksOf(store);
    await using other = locksOf(store);
    for (const kind of ["work", "prefix"] as const) {
      const held = await other.spec(kind, node.hash, "exclusive");
      assert.equal(await recoverStore(store, mine), 0, `somebody has the ${kind} lock`);
      assert.equal((await interruptedSpecs(store, mine)).length, kind === "work" ? 0 : 1);
      held?.release();
    }
    assert.deepEqual(await interruptedSpecs(store, mine), [{ hash: node.hash, prefix: store.prefixOf(node) }]);
    assert.equal(await recoverStore(store, locksOf(store, { isEnabled: false })), 0);
    await assert.rejects(recoverStore(store, mine, AbortSignal.abort()), { name: "AbortError" });
    assert.equal(await recoverStore(store, mine), 1);
    assert.deepEqual([existsSync(place), leftovers(place)], [isRecorded, []]);
    assert.deepEqual(await interruptedSpecs(store, mine), []);
    assert.equal(await recoverStore(store, mine), 0);
  });

test("a note that was cut off, or leads out of the store, moves nothing", async () => {
  const { store, node, place } = await given();
  await using locks = locksOf(store);
  for (const prefix of ["", "/etc", `${store.root}/../x`, "x".repeat(100_000)]) {
    await writeNote(store, node.hash, prefix);
    assert.equal(await recoverStore(store, locks), 1);
    assert.ok(existsSync(place));
  }
});

test("a recorded prefix that was moved aside comes back, even if its place could not be read at first", async () => {
  // Recorded at its place on this machine, so that no sysroot resolves the links.
  const golden = await copyOf(SPACK_1);
  const root = join(golden, SPACK_1.root);
  const index = join(root, ".spack-db/index.json");
  writeFileSync(index, readFileSync(index, "utf8").replaceAll(SPACK_1.root, root));
  const store = await Store.open(root, { clock: systemClock });
  const node = named(store, "rigging");
  const place = store.prefixOf(node);
  await (await stagedAt(store, node)).moveAside();
  await writeNote(store, node.hash, place);
  const parent = dirname(place);
  renameSync(parent, `${parent}-moved`);
  symlinkSync(basename(parent), parent);
  await using locks = locksOf(store);
  await failsWith("FILE_SYSTEM", recoverStore(store, locks), /cannot read .*ELOOP/);
  assert.deepEqual(await interruptedSpecs(store, locks), [{ hash: node.hash, prefix: place }]);
  rmSync(parent);
  renameSync(`${parent}-moved`, parent);
  assert.equal(await recoverStore(store, locks), 1);
  assert.ok(existsSync(join(place, ".spack/spec.json")));
  assert.deepEqual([leftovers(place), await interruptedSpecs(store, locks)], [[], []]);
});

test("the note of a killed run is not written again, so that it cannot be cut off", async () => {
  const { store, node } = await given();
  const file = store.locate(`${store.root}/.spack-db/under-way/${node.hash}`);
  await writeNote(store, node.hash, store.prefixOf(node));
  const { ctimeNs } = statSync(file, { bigint: true });
  await writeNote(store, node.hash, store.prefixOf(node));
  assert.equal(statSync(file, { bigint: true }).ctimeNs, ctimeNs);
  writeFileSync(file, store.prefixOf(node).slice(0, 10));
  await writeNote(store, node.hash, store.prefixOf(node));
  assert.equal(readFileSync(file, "utf8"), store.prefixOf(node));
});

test("locks on specs: many rely on one, one writes it", async () => {
  const { store, node } = await given();
  await using mine = locksOf(store);
  await using other = locksOf(store, { packageTimeout: 0 });
  const shared = await mine.spec("prefix", node.hash, "shared");
  (await other.spec("prefix", node.hash, "shared"))?.release();
  await failsWith("CONFLICT", other.spec("prefix", node.hash, "exclusive"), /prefix_lock.*after 0 s/);
  assert.equal(await other.spec("prefix", node.hash, "exclusive", () => true), undefined);
  await failsWith("INTERNAL", mine.spec("prefix", node.hash, "exclusive"));
  shared?.release();
  shared?.release();
  const exclusive = await other.trySpec("prefix", node.hash);
  assert.ok(exclusive);
  assert.equal(await mine.trySpec("prefix", node.hash), undefined);
  assert.ok(await mine.trySpec("work", node.hash), "the two locks of a spec have nothing to do with each other");
  assert.ok(await other.isWorkedOn(node.hash));
  exclusive.share();
  assert.ok(await mine.spec("prefix", node.hash, "shared"));
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
  // Without a sysroot, the links are those of this machine.
  const direct = { root: join(sysroot, root), locate: (path: string) => path };
  await failsWith("FILE_SYSTEM", placeInStore({ ...direct, root: "/opt" }, "/etc/x"));
  rmSync(join(direct.root, "elsewhere"));
  symlinkSync(join(sysroot, "outside"), join(direct.root, "elsewhere"));
  await failsWith("FILE_SYSTEM", placeInStore(direct, `${direct.root}/elsewhere/x`), /a symbolic link leads to/);
});

test("a folder of the store that somebody exchanges for a link leads no step outside", async () => {
  const STEPS: Readonly<Record<string, (staged: StagedPrefix) => Promise<unknown>>> = {
    stage: (staged) => staged.stage(0o777),
    commit: (staged) => staged.commit(),
    "commit from inside": (staged) => staged.commit(`${staged.directory}/s/p`),
    moveAside: (staged) => staged.moveAside(),
    moveBack: (staged) => staged.moveBack(),
    discard: (staged) => staged.discard(),
    clear: (staged) => staged.clear(),
  };
  for (const [name, step] of Object.entries(STEPS)) {
    const { store, node, place } = await given();
    const staged = await stagedAt(store, node);
    const outside = temporaryFolder();
    const [final, made] = [basename(place), basename(staged.directory)];
    const inside =
      name === "commit" || name === "commit from inside" ? [made] : [final, made, made.replace("new", "old")];
    for (const each of inside.filter((one) => name !== "moveBack" || one !== final))
      mkdirSync(join(outside, each, "s/p"), { recursive: true });
    const before = readdirSync(outside, { recursive: true });
    renameSync(dirname(place), `${dirname(place)}-moved`);
    symlinkSync(outside, dirname(place));
    await failsWith("ARCHIVE_UNSAFE", step(staged), /folder/);
    assert.deepEqual(readdirSync(outside, { recursive: true }), before, name);
  }
});

test("a link in the place of what was staged is not committed", async () => {
  const { store, node, place } = await given();
  const staged = await stagedAt(store, node);
  await staged.moveAside();
  await staged.stage(0o755);
  mkdirSync(join(staged.directory, "s"));
  symlinkSync("/etc", join(staged.directory, "s/p"));
  await failsWith("ARCHIVE_UNSAFE", staged.commit(`${staged.directory}/s/p`));
  assert.ok(!existsSync(place));
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
