// Proves that install databases are changed correctly: compared with real Spack, by many processes at once, and with
// errors.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import fc from "fast-check";
import { readDatabase } from "../../lib/spack/store/database.ts";
import type { Store } from "../../lib/spack/store/store.ts";
import type { Change, UpdateReport } from "../../lib/store/change-records.ts";
import { createStore } from "../../lib/store/create.ts";
import { StoreLocks } from "../../lib/store/locks.ts";
import { updateDatabase } from "../../lib/store/write-database.ts";
import { systemClock } from "../../lib/util/time.ts";
import { failsWith } from "../support/errors.ts";
import { golden } from "../support/golden.ts";
import { LOADER } from "../support/loader.ts";
import { named } from "../support/push.ts";
import { useSeed } from "../support/seed.ts";
import {
  copyOf,
  databaseFile,
  emptyIndex,
  FROM_CACHE,
  type GoldenStore,
  installsOf,
  locksOf,
  openStore,
  SPACK_0,
  SPACK_1,
} from "../support/stores.ts";

import { temporaryFolder } from "../support/tree.ts";

useSeed();
const NOW = 1_700_000_000_250;
const clock = { ...systemClock, now: () => NOW };

async function update(store: Store, ...changes: Change[]): Promise<UpdateReport> {
  await using locks = locksOf(store);
  return await updateDatabase(store, { clock, locks }, () => changes);
}

/** A changed copy, its store as it was before, and the file. */
async function given(source: GoldenStore): Promise<{ sysroot: string; store: Store; file: string }> {
  const sysroot = await copyOf(source);
  return { sysroot, store: await openStore(source, sysroot), file: databaseFile(source, sysroot) };
}

for (const source of [SPACK_1, FROM_CACHE, SPACK_0])
  test(`registering what ${source.name} holds gives the records that Spack wrote`, async () => {
    const { sysroot, store, file } = await given(source);
    const before = installsOf(file);
    emptyIndex(source, sysroot);
    const empty = await openStore(source, sysroot);
    await update(
      empty,
      ...source.explicit.map((name): Change => ({ op: "add", node: named(store, name), explicit: true })),
    );
    const after = installsOf(file);
    assert.deepEqual(Object.keys(after).toSorted(), Object.keys(before).toSorted());
    for (const [hash, record] of Object.entries(before)) {
      const mine = after[hash] ?? assert.fail();
      assert.deepEqual(Object.keys(mine), Object.keys(record));
      assert.equal(JSON.stringify(mine.spec), JSON.stringify(record.spec));
      assert.deepEqual({ ...mine, installation_time: 0 }, { ...record, installation_time: 0 });
      assert.equal(mine["installation_time"], NOW / 1000);
    }
    assert.equal(readDatabase({ name: file, bytes: readFileSync(file) }).version, source.version);
  });

test("a store that is not there is made, with the newest version and a verifier", async () => {
  const { store } = await given(SPACK_1);
  const sysroot = temporaryFolder();
  const fresh = await openStore(SPACK_1, sysroot);
  await createStore(fresh);
  await using locks = locksOf(fresh);
  // The graph of the other store, with externals only, so no prefix needs to exist.
  await updateDatabase(fresh, { clock, locks }, () => [{ op: "add", node: named(store, "gcc") }]);
  const folder = dirname(databaseFile(SPACK_1, sysroot));
  assert.deepEqual(readdirSync(folder).toSorted(), ["index.json", "index_verifier", "lock"]);
  assert.match(readFileSync(join(folder, "index_verifier"), "latin1"), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal(statSync(join(folder, "lock")).mode & 0o777 & ~process.umask(), 0o777 & ~process.umask());
  assert.match(readFileSync(join(folder, "index.json"), "latin1"), /^\{"database":\{"version":"8","installs":\{"/);
  await failsWith(
    "SPEC_NOT_INSTALLED",
    updateDatabase(fresh, { clock, locks }, () => [{ op: "add", node: named(store, "fleet") }]),
  );
  assert.equal(Object.keys(installsOf(join(folder, "index.json"))).length, 1);
});

test("what is not changed stays byte for byte, also what only others understand", async () => {
  const { store, file } = await given(SPACK_1);
  const text = readFileSync(file, "utf8")
    .replace('"explicit":true', '"explicit":true,"in_buildcache":true,"origin":"external-db","x":[1.0,1e400]')
    .replace('{"database":{', '{"_later":{"1":2.50,"0":"\\u00e9"},"database":{"more":null,');
  writeFileSync(file, text);
  const hull = named(store, "hull");
  const verifier = readFileSync(join(dirname(file), "index_verifier"), "utf8");
  writeFileSync(join(dirname(file), "index.json.elsewhere.1.temp"), "{");
  assert.deepEqual(await update(store, { op: "mark", hash: hull.hash, explicit: false }), {
    added: [],
    changed: [hull.hash],
    removed: [],
  });
  assert.equal(
    readFileSync(file, "utf8"),
    text
      .replace('"explicit":true,"in_build', '"explicit":false,"in_build')
      .replace(/("explicit":)true(,"installation_time":[0-9.]+,"deprecated_for":null,"in_build)/, "$1false$2"),
  );
  assert.notEqual(readFileSync(join(dirname(file), "index_verifier"), "utf8"), verifier);
  assert.ok(!existsSync(join(dirname(file), "index.json.elsewhere.1.temp")));
  const state = statSync(file, { bigint: true });
  assert.deepEqual(await update(store, { op: "mark", hash: "a".repeat(32), explicit: true }), {
    added: [],
    changed: [],
    removed: [],
  });
  assert.equal(statSync(file, { bigint: true }).ino, state.ino);
});

/** Name to [reference count, installed]. */
function counts(file: string): Record<string, [unknown, unknown]> {
  return Object.fromEntries(
    Object.values(installsOf(file)).map((record) => [record.spec.name, [record["ref_count"], record["installed"]]]),
  );
}

test("removing keeps what is needed, and lets go of what nobody needs", async () => {
  const { store, file } = await given(FROM_CACHE);
  const remove = (...names: string[]) =>
    update(store, ...names.map((name): Change => ({ op: "remove", hash: named(store, name).hash })));
  const all = counts(file);
  await remove("hull");
  assert.deepEqual(counts(file), { ...all, hull: [2, false] });
  await remove("fleet", "voyage");
  // hull has one dependent left, and is kept for it.
  assert.deepEqual(counts(file)["hull"], [1, false]);
  assert.deepEqual(Object.keys(counts(file)).length, 8);
  await remove("paddle");
  // hull is removed with the last one, and its own dependencies lose one reference.
  const left = counts(file);
  assert.equal(left["hull"], undefined);
  assert.deepEqual(left["zlib-ish"], [0, true]);
  await remove("zlib-ish", "gcc-runtime", "rigging");
  assert.deepEqual(Object.keys(counts(file)).toSorted(), ["gcc", "glibc"]);
  await remove("gcc", "glibc");
  assert.deepEqual(counts(file), {});
});

test("a deprecated spec lets go of its successor, and a spec that comes back keeps what is known of it", async () => {
  const { store, file } = await given(SPACK_1);
  const [fleet, zlib] = [named(store, "fleet"), named(store, "zlib-ish")];
  const document = JSON.parse(readFileSync(file, "utf8"));
  document.database.installs[fleet.hash].deprecated_for = zlib.hash;
  document.database.installs[zlib.hash].ref_count = 2;
  writeFileSync(file, JSON.stringify(document));
  await update(store, { op: "add", node: fleet });
  assert.deepEqual(
    [
      installsOf(file)[fleet.hash]?.["explicit"],
      installsOf(file)[fleet.hash]?.["deprecated_for"],
      installsOf(file)[fleet.hash]?.["installation_time"],
    ],
    [true, zlib.hash, NOW / 1000],
  );
  await update(store, { op: "add", node: fleet, explicit: false });
  assert.equal(installsOf(file)[fleet.hash]?.["explicit"], false);
  await update(store, { op: "remove", hash: fleet.hash });
  assert.deepEqual(counts(file)["zlib-ish"], [1, true]);
});

test("what an upstream has gets no record", async () => {
  const { sysroot, store: upstream } = await given(SPACK_1);
  const [rigging, fleet] = [named(upstream, "rigging"), named(upstream, "fleet")];
  // Both stores below one folder; the upstream has all but the root.
  await update(upstream, { op: "remove", hash: fleet.hash });
  const mine = { root: "/opt/mine", version: 8 };
  mkdirSync(join(sysroot, mine.root));
  const store = await openStore(mine, sysroot, { upstreams: [SPACK_1.root] });
  await createStore(store);
  assert.deepEqual(await update(store, { op: "add", node: rigging }), { added: [], changed: [], removed: [] });
  assert.ok(!existsSync(databaseFile(mine, sysroot)));
  cpSync(upstream.locate(upstream.prefixOf(fleet)), store.locate(store.prefixOf(fleet)), { recursive: true });
  assert.deepEqual(await update(store, { op: "add", node: fleet }), { added: [fleet.hash], changed: [], removed: [] });
  assert.deepEqual(Object.values(counts(databaseFile(mine, sysroot))), [[0, true]]);
});

test("reference counts are those of the graph, in whatever order specs come and go", async () => {
  const { sysroot, store, file } = await given(SPACK_1);
  const nodes = [...store.records()].map(({ node }) => node);
  const step = fc.record({
    node: fc.constantFrom(...nodes),
    op: fc.constantFrom("add" as const, "add" as const, "remove" as const),
  });
  const property = fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
    emptyIndex(SPACK_1, sysroot);
    for (const { node, op } of steps) {
      await update(store, op === "add" ? { op, node } : { op, hash: node.hash });
      const { records, dangling } = readDatabase({ name: file, bytes: readFileSync(file) });
      assert.equal(dangling.length, 0);
      assert.equal(records.get(node.hash)?.installed ?? false, op === "add");
      for (const record of records.values()) {
        const parents = [...records.values()].filter(({ node: { edges } }) =>
          edges.some(({ child }) => child === record.node),
        );
        assert.equal(record.refCount, parents.length, record.node.name);
        assert.ok(record.installed || parents.length > 0, record.node.name);
      }
    }
  });
  await fc.assert(property, { numRuns: 25 });
});

test("a database that cannot be changed stays as it is", async () => {
  const cases: {
    name: string;
    break: (file: string) => void;
    code: "CONTENT_INVALID" | "UNSUPPORTED" | "FILE_SYSTEM";
    says: RegExp;
  }[] = [
    {
      name: "cut off",
      break: (file) => truncateSync(file, 5000),
      code: "CONTENT_INVALID",
      says: /index\.json is not valid JSON.*cut off/,
    },
    { name: "empty", break: (file) => truncateSync(file, 0), code: "CONTENT_INVALID", says: /index\.json/ },
    {
      name: "newer",
      break: (file) => rewrite(file, '"version":"8"', '"version":"9"'),
      code: "CONTENT_INVALID",
      says: /version.*"9"/,
    },
    {
      name: "old",
      break: (file) => writeFileSync(file, '{"database":{"version":"6","installs":{}}}'),
      code: "UNSUPPORTED",
      says: /has version 6, expected 7 or 8/,
    },
    {
      name: "another format",
      break: (file) => writeFileSync(file, '{"database":{"version":"7","installs":{}}}'),
      code: "UNSUPPORTED",
      says: /format 5, but the database of the store has version 7/,
    },
    {
      name: "a folder for a lock",
      break: (file) => replaceByFolder(join(dirname(file), "lock")),
      code: "FILE_SYSTEM",
      says: /lock.*EISDIR/,
    },
    { name: "a folder for an index", break: replaceByFolder, code: "FILE_SYSTEM", says: /not a regular file/ },
  ];
  for (const { name, break: damage, code, says } of cases) {
    const { store, file } = await given(SPACK_1);
    damage(file);
    const state = (): unknown => (statSync(file).isFile() ? readFileSync(file, "latin1") : "folder");
    const before = state();
    await failsWith(code, update(store, { op: "add", node: named(store, "fleet") }), says);
    assert.deepEqual(state(), before, name);
    assert.deepEqual(
      readdirSync(dirname(file)).filter((each) => each.endsWith(".temp")),
      [],
      name,
    );
  }
});

function rewrite(file: string, from: string, to: string): void {
  writeFileSync(file, readFileSync(file, "utf8").replace(from, to));
}

function replaceByFolder(path: string): void {
  rmSync(path);
  mkdirSync(path);
}

const support = (name: string): string => join(import.meta.dirname, "../support", name);

test("without room or permission nothing is changed, and nothing is left", async () => {
  const { sysroot, file } = await given(SPACK_1);
  const writer = [
    ...LOADER,
    support("database-writer.ts"),
    sysroot,
    SPACK_1.root,
    golden("spack-1.2/spack.lock"),
    "rigging",
  ];
  const before = readFileSync(file, "latin1");
  const files = readdirSync(dirname(file));
  // Files of at most 4 blocks of 512 bytes; the signal would kill the process.
  const limited = spawnSync("sh", ["-c", 'ulimit -f 4; trap "" XFSZ; exec "$0" "$@"', process.execPath, ...writer], {
    encoding: "utf8",
  });
  assert.equal(limited.status, 1);
  assert.match(limited.stderr, /cannot write .*index\.json: EFBIG/);
  assert.equal(readFileSync(file, "latin1"), before);
  assert.deepEqual(readdirSync(dirname(file)), files);
  chmodSync(dirname(file), 0o555);
  chmodSync(join(dirname(file), "lock"), 0o444);
  if (process.getuid?.() === 0) {
    // Root can write everywhere; other users cannot.
    const other = spawnSync(process.execPath, writer, { encoding: "utf8", uid: 65534, gid: 65534 });
    assert.equal(other.status, 1, other.stderr);
    assert.match(other.stderr, /cannot lock .*it is not writable|EACCES/);
  } else
    await failsWith(
      "FILE_SYSTEM",
      update(await openStore(SPACK_1, sysroot), {
        op: "add",
        node: named(await openStore(SPACK_1, sysroot), "rigging"),
      }),
    );
  chmodSync(dirname(file), 0o755);
  assert.equal(readFileSync(file, "latin1"), before);
});

const IN_PLACE: { name: string; put: (file: string, outside: string) => void }[] = [
  { name: "a link", put: (file, outside) => symlinkSync(join(outside, "file"), file) },
  { name: "a hard link", put: (file, outside) => linkSync(join(outside, "file"), file) },
  { name: "a FIFO", put: (file) => void spawnSync("mkfifo", [file]) },
  { name: "a folder", put: (file) => mkdirSync(file) },
];
for (const { name, put } of IN_PLACE)
  test(`an update succeeds with ${name} in place of the verifier, and writes nothing outside`, async () => {
    const { store, file } = await given(SPACK_1);
    const [verifier, outside] = [join(dirname(file), "index_verifier"), temporaryFolder()];
    writeFileSync(join(outside, "file"), "theirs");
    rmSync(verifier);
    put(verifier, outside);
    const { hash } = named(store, "hull");
    const report = await update(store, { op: "mark", hash, explicit: false });
    assert.deepEqual([report.changed, installsOf(file)[hash]?.["explicit"]], [[hash], false]);
    assert.equal(readFileSync(join(outside, "file"), "utf8"), "theirs");
    const names = readdirSync(dirname(file)).filter((one) => one.startsWith("index_verifier"));
    assert.deepEqual(names, ["index_verifier"]);
    if (name !== "a folder") assert.match(readFileSync(verifier, "latin1"), /^[0-9a-f-]{36}$/);
  });

test("the verifier keeps its mode, because the Spacks of other users write it in place", async () => {
  const { store, file } = await given(SPACK_1);
  const verifier = join(dirname(file), "index_verifier");
  for (const mode of [0o664, 0o666, 0o600]) {
    chmodSync(verifier, mode);
    await update(store, { op: "mark", hash: named(store, "hull").hash, explicit: mode !== 0o664 });
    assert.equal(statSync(verifier).mode & 0o777, mode);
  }
});

const python = spawnSync("python3", ["--version"]).status === 0;
const HOLDER = `
import fcntl, sys
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
fcntl.lockf(file, fcntl.LOCK_UN)
`;

function write(sysroot: string, names: readonly string[]): { child: ChildProcess; done: Promise<string> } {
  const args = [
    ...LOADER,
    support("database-writer.ts"),
    sysroot,
    SPACK_1.root,
    golden("spack-1.2/spack.lock"),
    ...names,
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  return { child, done: once(child, "close").then(([status]) => (status === 0 ? "" : said)) };
}

test("eight processes add overlapping sets while another holds the lock: nothing is lost, no reader sees a broken database", {
  skip: python ? false : "python3 is absent",
}, async () => {
  const { sysroot, store, file } = await given(SPACK_1);
  const before = installsOf(file);
  emptyIndex(SPACK_1, sysroot);
  const holder = spawn("python3", ["-c", HOLDER, join(dirname(file), "lock")], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "exit");
  await once(createInterface({ input: holder.stdout }), "line");
  const sets = [
    ["rigging", "hull"],
    ["hull", "paddle"],
    ["voyage"],
    ["zlib-ish", "gcc-runtime"],
    ["fleet", "rigging"],
    ["paddle", "gcc-runtime", "fleet"],
    ["gcc", "glibc", "voyage"],
    ["fleet", "voyage", "hull"],
  ];
  const writers = sets.map((names) => write(sysroot, names));
  let isOver = false;
  const all = Promise.all(writers.map(({ done }) => done)).finally(() => {
    isOver = true;
  });
  let reads = 0;
  let sizes = 0;
  while (!isOver) {
    const { database } = await openStore(SPACK_1, sysroot);
    assert.equal(database.dangling.length, 0);
    assert.ok(database.records.size >= sizes);
    sizes = database.records.size;
    if (++reads === 30) {
      assert.equal(sizes, 0);
      holder.stdin.write("\n");
    }
    await systemClock.sleep(20);
  }
  assert.deepEqual(await all, Array(8).fill(""));
  assert.ok(reads > 30);
  const after = installsOf(file);
  assert.deepEqual(
    counts(file),
    Object.fromEntries(Object.values(before).map((record) => [record.spec.name, [record["ref_count"], true]])),
  );
  assert.equal(Object.keys(after).length, [...store.records()].length);
  await ended;
});

test("a writer that is killed leaves a whole database, and a lock that the next one gets", async () => {
  const { sysroot, store, file } = await given(SPACK_1);
  const all = Object.keys(installsOf(file)).length;
  emptyIndex(SPACK_1, sysroot);
  const names = [...store.records()].map(({ node }) => node.name);
  const started = systemClock.now();
  const whole = await write(sysroot, names).done;
  const each = systemClock.now() - started;
  assert.equal(whole, "");
  emptyIndex(SPACK_1, sysroot);
  for (let at = 1; at <= 8; at++) {
    const { child, done } = write(sysroot, names);
    await systemClock.sleep(each * (0.4 + at * 0.06));
    child.kill("SIGKILL");
    await done;
    const { database } = await openStore(SPACK_1, sysroot);
    assert.equal(database.dangling.length, 0, `killed for the ${at}th time`);
  }
  assert.equal(await write(sysroot, names).done, "");
  assert.equal(Object.keys(installsOf(file)).length, all);
  const known = ["index.json", "index_verifier", "lock", "prefix_failures", "prefix_lock"];
  assert.deepEqual(readdirSync(dirname(file)).toSorted(), known);
});

test("the time for the lock is limited, and its holder named", {
  skip: python ? false : "python3 is absent",
}, async () => {
  const { store, file } = await given(SPACK_1);
  const holder = spawn("python3", ["-c", HOLDER, join(dirname(file), "lock")], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "exit");
  await once(createInterface({ input: holder.stdout }), "line");
  let now = 0;
  const fast = {
    ...clock,
    now: () => now,
    sleep: async (wait: number) => {
      now += wait;
    },
  };
  const said: string[] = [];
  const settings = { isEnabled: true, databaseTimeout: 3, packageTimeout: undefined };
  await using locks = new StoreLocks(store, { clock: fast, settings, onWait: (text) => said.push(text) });
  const error = await failsWith(
    "CONFLICT",
    updateDatabase(store, { clock: fast, locks }, () => assert.fail()),
    new RegExp(`process ${holder.pid} still holds it after 3 s`),
  );
  assert.match(error.hint ?? "", /config:db_lock_timeout/);
  assert.deepEqual(said, [`waiting for the database: process ${holder.pid} holds ${join(dirname(file), "lock")}`]);
  const node = named(store, "hull");
  for (const kind of ["work", "prefix"] as const) {
    const path = join(dirname(file), `${kind}_lock`);
    writeFileSync(path, "");
    const other = spawn("python3", ["-c", HOLDER, path], { stdio: ["pipe", "pipe", "inherit"] });
    const gone = once(other, "exit");
    await once(createInterface({ input: other.stdout }), "line");
    let waits = 0;
    (
      await locks.spec(kind, store.database.graph.get(node.hash) ?? node.hash, "exclusive", () => ++waits > 1)
    )?.release();
    other.stdin.end("\n");
    await gone;
  }
  assert.equal(said.length, 2, said.join("\n"));
  assert.match(said[1] ?? "", new RegExp(`^waiting for hull@\\d[\\d.]*/${node.hash.slice(0, 7)}: process \\d+ holds `));
  await using none = new StoreLocks(store, { clock: fast, settings: { ...settings, isEnabled: false } });
  await updateDatabase(store, { clock: fast, locks: none }, () => [
    { op: "mark", hash: named(store, "hull").hash, explicit: false },
  ]);
  holder.stdin.end("\n");
  await ended;
});
