// Proves that stores and databases of every version are read, with upstreams and sysroots.
import assert from "node:assert/strict";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { checkHashes, verifyHashes } from "../../../lib/spack/spec/dag-hash.ts";
import { readDatabase, readDatabases } from "../../../lib/spack/store/database.ts";
import { readInstalledSpec, readInstallManifest } from "../../../lib/spack/store/prefix-metadata.ts";
import { Store, type StoreOptions } from "../../../lib/spack/store/store.ts";
import { writeJson } from "../../../lib/spack/text/json.ts";
import type { JsonObject, JsonValue } from "../../../lib/spack/text/json-value.ts";
import { makeDatabase } from "../../../scripts/make-database.ts";
import { unpackGolden } from "../../support/golden.ts";
import { fakeHash, fakeNode } from "../../support/graph.ts";

const scratch = mkdtempSync(join(tmpdir(), "stave-store-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const clock: StoreOptions["clock"] = { now: () => 0, sleep: async () => {}, random: () => 0 };

/** A folder below which the golden store is at its recorded path. */
async function sysrootOf(name: string, folder: string, recorded: string): Promise<string> {
  const sysroot = mkdtempSync(join(scratch, "root-"));
  mkdirSync(dirname(join(sysroot, recorded)), { recursive: true });
  cpSync(join(await unpackGolden(name), folder), join(sysroot, recorded), { recursive: true, verbatimSymlinks: true });
  return sysroot;
}

const GOLDEN = [
  {
    name: "spack-1.2/store",
    folder: "store",
    root: "/opt/harbor/store",
    version: 8,
    records: 10,
    explicit: ["hull", "fleet"],
  },
  {
    name: "spack-0.23/store",
    folder: "store23",
    root: "/opt/harbor/store23",
    version: 7,
    records: 8,
    explicit: ["fleet"],
  },
  {
    name: "spack-1.2/installed-at-opt-q-st",
    folder: "st",
    root: "/opt/q/st",
    version: 8,
    records: 10,
    explicit: ["hull", "fleet"],
  },
];
for (const { name, folder, root, version, records, explicit } of GOLDEN)
  test(`opens ${name} under a sysroot, and every record is right`, async () => {
    const sysroot = await sysrootOf(name, folder, root);
    const store = await Store.open(root, { clock, sysroot });
    const { database } = store;
    assert.deepEqual([database.version, database.records.size, database.dangling.length], [version, records, 0]);
    assert.equal(verifyHashes(database.graph.nodes(), name).verified.length, records);
    const all = [...store.records()];
    assert.deepEqual(
      all.filter((record) => record.explicit).map((record) => record.node.name),
      explicit,
    );
    // Spack's counts match the graph.
    for (const record of all) {
      const parents = all.filter((other) => other.node.edges.some((edge) => edge.child === record.node));
      assert.equal(record.refCount, parents.length, record.node.name);
      if (record.node.external || !record.installed) continue;
      assert.ok(store.prefixOf(record.node).startsWith(`${root}/`));
      const document = await readInstalledSpec(store, record);
      assert.equal(writeJson(document.root.raw), writeJson(record.node.raw));
    }
    const text = readFileSync(join(sysroot, root, ".spack-db/index.json"), "utf8");
    assert.equal(writeJson(JSON.parse(text)), text);
  });

test("finds records by name and by the beginning of a hash", async () => {
  const store = await Store.open("/opt/harbor/store", {
    clock,
    sysroot: await sysrootOf("spack-1.2/store", "store", "/opt/harbor/store"),
  });
  const [hull] = store.records("hull");
  assert.ok(hull);
  assert.deepEqual([...store.records("nothing")], []);
  assert.deepEqual(store.withHashPrefix("uwl"), [hull]);
  assert.deepEqual(store.withHashPrefix(hull.node.hash), [hull]);
  assert.equal(store.withHashPrefix("").length, 10);
  assert.deepEqual(
    [hull.path, hull.installed, hull.deprecatedFor, hull.origin, hull.database],
    ["/opt/harbor/store/linux-x86_64/hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww", true, undefined, undefined, 0],
  );
  assert.equal(hull.installationTime, 1795223905.939117);
  const manifest = await readInstallManifest(store, hull);
  const [path, entry] = [...(manifest ?? [])].find(([, found]) => found.hash !== undefined) ?? [];
  assert.ok(path?.startsWith(`${hull.path}/`));
  assert.match(entry?.hash ?? "", /^[A-Z2-7]{32}$/);
  assert.ok([...(manifest ?? [])].some(([, found]) => found.dest !== undefined));
});

test("a store without a sysroot lies where it is, through links too", async () => {
  const folder = await unpackGolden("spack-1.2/store");
  const link = join(scratch, "link");
  symlinkSync(join(folder, "store"), link);
  assert.equal((await Store.open(link, { clock })).database.records.size, 10);
});

test("a spec that is not recorded goes where the layout says", async () => {
  const store = await Store.open("/opt/new", { clock, sysroot: scratch, mayBeEmpty: true });
  assert.equal(store.database.records.size, 0);
  assert.equal(store.stamp, undefined);
  const sysroot = await sysrootOf("spack-1.2/store", "store", "/opt/harbor/store");
  const golden = await Store.open("/opt/harbor/store", { clock, sysroot });
  const [fleet] = golden.records("fleet");
  const [glibc] = golden.records("glibc");
  assert.ok(fleet && glibc);
  assert.equal(store.prefixOf(fleet.node), `/opt/new/linux-x86_64/fleet-1.0-${fleet.node.hash}`);
  assert.equal(store.prefixOf(glibc.node), "/usr");
  assert.throws(
    () => store.prefixOf({ ...fleet.node, external: { path: null, modules: ["x"], extraAttributes: {} } }),
    { code: "SPEC_NOT_INSTALLED" },
  );
  await assert.rejects(Store.open("/opt/new", { clock, sysroot: scratch }), {
    code: "NOT_FOUND",
    message: `/opt/new is not a Spack store: ${scratch}/opt/new/.spack-db/index.json is missing`,
    hint: "name the store with `store`",
  });
});

const record = (node: JsonObject, more: JsonObject = {}): JsonObject => ({
  spec: node,
  ref_count: 0,
  path: `/store/${String(node["name"])}`,
  installed: true,
  explicit: true,
  installation_time: 1.5,
  deprecated_for: null,
  ...more,
});
const database = (installs: JsonObject, version: JsonValue = "8"): Buffer =>
  Buffer.from(JSON.stringify({ database: { version, installs } }));
const source = (bytes: Uint8Array, name = "index.json") => ({ name, bytes, hint: "run `spack reindex`" });

test("of upstream databases the local record wins, and dependencies are found across them", () => {
  const local = database({
    [fakeHash(1)]: record(
      fakeNode("top", 1, [
        { name: "base", at: 2 },
        { name: "lost", at: 9 },
      ]),
    ),
    [fakeHash(3)]: record(fakeNode("both", 3, []), { path: "/local/both" }),
  });
  const upstream = database({
    [fakeHash(2)]: record(fakeNode("base", 2, [{ name: "both", at: 3 }])),
    [fakeHash(3)]: record(fakeNode("both", 3, []), { path: "/up/both", explicit: false }),
  });
  const both = readDatabases([source(local, "local.json"), source(upstream, "up.json")]);
  assert.deepEqual(
    Array.from(both.records.values(), ({ node, path, database }) => [node.name, path, database]),
    [
      ["top", "/store/top", 0],
      ["both", "/local/both", 0],
      ["base", "/store/base", 1],
    ],
  );
  const [top, , base] = [...both.records.values()];
  assert.equal(top?.node.edges[0]?.child, base?.node);
  assert.deepEqual(
    both.dangling.map(({ parent, name, key }) => [parent.name, name, key]),
    [["top", "lost", fakeHash(9)]],
  );
});

test("stores are opened with their upstreams", async () => {
  const place = (name: string, bytes: Buffer): string => {
    mkdirSync(join(scratch, name, ".spack-db"), { recursive: true });
    writeFileSync(join(scratch, name, ".spack-db/index.json"), bytes);
    return join(scratch, name);
  };
  const up = place("up", database({ [fakeHash(2)]: record(fakeNode("base", 2, [])) }));
  const store = await Store.open(join(scratch, "local"), { clock, upstreams: [up], mayBeEmpty: true });
  assert.deepEqual(
    Array.from(store.records(), (found) => [found.node.name, found.database]),
    [["base", 1]],
  );
  await assert.rejects(Store.open(up, { clock, upstreams: [join(scratch, "gone")], mayBeEmpty: true }), {
    code: "NOT_FOUND",
  });
});

const oldNode: JsonObject = {
  zlib: {
    version: "1.2.11",
    arch: { platform: "linux", platform_os: "centos7", target: "x86_64" },
    parameters: {},
    dependencies: {},
  },
};
const VERSIONS: { version: JsonValue; node: JsonObject; format: number }[] = [
  { version: "5", node: oldNode, format: 1 },
  { version: "6", node: fakeNode("zlib", 1, []), format: 3 },
  { version: "7", node: fakeNode("zlib", 1, []), format: 4 },
  { version: 8, node: fakeNode("zlib", 1, []), format: 5 },
];
for (const { version, node, format } of VERSIONS)
  test(`reads database version ${version}`, () => {
    const read = readDatabase(
      source(
        database(
          {
            [fakeHash(1)]: {
              spec: node,
              path: "None",
              in_buildcache: true,
              origin: "external-db",
              deprecated_for: fakeHash(2),
            },
          },
          version,
        ),
      ),
    );
    assert.equal(read.version, Number(version));
    const [found] = read.records.values();
    assert.deepEqual(
      [
        found?.node.name,
        found?.node.hash,
        found?.node.format,
        found?.path,
        found?.installed,
        found?.inBuildcache,
        found?.origin,
        found?.deprecatedFor,
        found?.installationTime,
      ],
      ["zlib", fakeHash(1), format, null, false, true, "external-db", fakeHash(2), undefined],
    );
  });

test("an empty database has nothing", () => {});

const good = record(fakeNode("zlib", 1, []));
const BAD: { name: string; given: Buffer; code?: string; message: RegExp; hint?: RegExp }[] = [
  { name: "nothing at all", given: Buffer.from(""), message: /^index\.json is not valid JSON at the end/ },
  { name: "garbage", given: Buffer.from([0, 1, 2, 0xff]), message: /not UTF-8 text/ },
  { name: "a list", given: Buffer.from("[]"), message: /the document is a list, expected an object/ },
  { name: "no database", given: Buffer.from("{}"), message: /database is missing, expected an object/ },
  {
    name: "no version",
    given: Buffer.from('{"database":{"installs":{}}}'),
    message: /database\.version is missing, expected a database version from 5 to 8/,
  },
  {
    name: "a newer version",
    given: database({}, "9"),
    message: /database\.version is the string "9", expected/,
    hint: /update stave/,
  },
  {
    name: "an ancient version",
    given: database({}, "0.9.3"),
    message: /is the string "0\.9\.3"/,
    hint: /spack reindex/,
  },
  {
    name: "a version that is none",
    given: database({}, "eight"),
    message: /is the string "eight"/,
    hint: /spack reindex/,
  },
  {
    name: "installs in a list",
    given: Buffer.from('{"database":{"version":"8","installs":[]}}'),
    message: /database\.installs is a list, expected an object/,
  },
  {
    name: "a key that is no hash",
    given: database({ zlib: good }),
    message: /database\.installs\.zlib is an object, expected only DAG hashes as keys/,
  },
  {
    name: "a record that is text",
    given: database({ [fakeHash(1)]: "x" }),
    message: /installs\.a{31}b is the string "x", expected an object/,
  },
  {
    name: "a record without spec",
    given: database({ [fakeHash(1)]: {} }),
    code: "SPEC_INVALID",
    message: /installs\.a{31}b\.spec\.node is missing, expected an object/,
  },
  {
    name: "a record under another hash",
    given: database({ [fakeHash(2)]: good }),
    code: "SPEC_INVALID",
    message: /spec\.hash is the string "a{31}b", expected the key of the record/,
  },
  {
    name: "a relative path",
    given: database({ [fakeHash(1)]: { ...good, path: "opt/zlib" } }),
    message: /path is the string "opt\/zlib", expected an absolute path/,
  },
  {
    name: "a path with a NUL",
    given: database({ [fakeHash(1)]: { ...good, path: "/opt\u0000" } }),
    message: /expected an absolute path/,
  },
  {
    name: "installed in words",
    given: database({ [fakeHash(1)]: { ...good, installed: "yes" } }),
    message: /installed is the string "yes", expected true or false/,
  },
  {
    name: "a count in words",
    given: database({ [fakeHash(1)]: { ...good, ref_count: "1" } }),
    message: /ref_count is the string "1", expected a number/,
  },
  {
    name: "a cycle",
    given: database({
      [fakeHash(1)]: record(fakeNode("a", 1, [{ name: "b", at: 2 }])),
      [fakeHash(2)]: record(fakeNode("b", 2, [{ name: "a", at: 1 }])),
    }),
    code: "SPEC_INVALID",
    message: /form a cycle/,
  },
];
for (const { name, given, code = "CONTENT_INVALID", message, hint = /spack reindex/ } of BAD)
  test(`refuses a database with ${name}`, () => {
    assert.throws(
      () => readDatabase(source(given)),
      (error: { code: string; message: string; hint: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.match(error.hint, hint);
        return true;
      },
    );
  });

test("a truncated database is refused at every length", () => {
  const whole = database({ [fakeHash(1)]: good });
  for (let length = 0; length < whole.length; length += 7)
    assert.throws(() => readDatabase(source(whole.subarray(0, length))), { code: "CONTENT_INVALID" });
});

function newStore(bytes: Buffer): string {
  const root = mkdtempSync(join(scratch, "db-"));
  mkdirSync(join(root, ".spack-db"));
  writeFileSync(join(root, ".spack-db/index.json"), bytes);
  writeFileSync(join(root, ".spack-db/index_verifier"), "one");
  return root;
}

test("a database of 1 GB is refused before it is read", async () => {
  const root = newStore(Buffer.from(""));
  truncateSync(join(root, ".spack-db/index.json"), 2 ** 30);
  const before = process.resourceUsage().maxRSS;
  await assert.rejects(Store.open(root, { clock }), {
    code: "TOO_LARGE",
    message: /index\.json has 1073741824 bytes, expected at most 500000000/,
  });
  // In kilobytes.
  assert.ok(process.resourceUsage().maxRSS - before < 250_000);
});

test("a database that is replaced again and again is always read whole", async () => {
  const states = Array.from({ length: 4 }, (_, size) =>
    database(
      Object.fromEntries(
        Array.from({ length: size + 1 }, (_, at) => [fakeHash(at), record(fakeNode(`p${at}`, at, []))]),
      ),
    ),
  );
  const root = newStore(states[0] ?? assert.fail());
  const folder = join(root, ".spack-db");
  let writes = 0;
  let sleeps = 0;
  let done = false;
  // As in Spack: a finished file replaces the old one, then the verifier is written in place.
  const write = (): void => {
    if (done) return;
    writeFileSync(join(folder, "next"), states[writes++ % states.length] ?? assert.fail());
    renameSync(join(folder, "next"), join(folder, "index.json"));
    writeFileSync(join(folder, "index_verifier"), `state ${writes}`);
    setImmediate(write);
  };
  write();
  const counting: StoreOptions["clock"] = { ...clock, sleep: async () => void sleeps++ };
  const sizes = new Set<number>();
  const stamps = new Set<string | undefined>();
  for (let at = 0; at < 15; at++) {
    const store = await Store.open(root, { clock: counting });
    sizes.add(store.database.records.size);
    stamps.add(store.stamp);
  }
  done = true;
  assert.ok(writes > 15 && sleeps > 0, `${writes} writes, ${sleeps} waits`);
  assert.ok([...sizes].every((size) => size >= 1 && size <= 4));
  assert.ok(stamps.size > 1);
});

test("a stale database is told from what is on disk", async () => {
  const sysroot = await sysrootOf("spack-1.2/store", "store", "/opt/harbor/store");
  const store = await Store.open("/opt/harbor/store", { clock, sysroot });
  const [hull] = store.records("hull");
  const [zlib] = store.records("zlib-ish");
  assert.ok(hull?.path && zlib?.path);
  cpSync(join(sysroot, zlib.path, ".spack/spec.json"), join(sysroot, hull.path, ".spack/spec.json"));
  await assert.rejects(readInstalledSpec(store, hull), {
    code: "SPEC_INVALID",
    message: /spec\.json is the spec zlib-ish@1\.0\/bq6hs5t, but the database has hull@1\.10\.1\/uwlohrq there/,
    hint: /spack reindex/,
  });
  rmSync(join(sysroot, hull.path), { recursive: true });
  await assert.rejects(readInstalledSpec(store, hull), {
    code: "SPEC_NOT_INSTALLED",
    hint: /the database is stale; run `spack reindex`/,
  });
  assert.equal(await readInstallManifest(store, hull), undefined);
  writeFileSync(join(sysroot, zlib.path, ".spack/install_manifest.json"), '{"relative":{"mode":1}}');
  await assert.rejects(readInstallManifest(store, zlib), {
    code: "CONTENT_INVALID",
    message: /relative is an object, expected only absolute paths as keys/,
  });
});

test("made databases are the same for the same seed, their hashes true and their counts right", () => {
  const options = { installs: 400, seed: 7, root: "/opt/store" };
  const text = makeDatabase(options);
  assert.equal(makeDatabase(options), text);
  assert.notEqual(makeDatabase({ ...options, seed: 8 }), text);
  const made = readDatabase(source(Buffer.from(text)));
  assert.deepEqual([made.records.size, made.dangling.length], [400, 0]);
  const report = checkHashes(made.graph.nodes());
  assert.equal(report.verified.length, 400);
  const counts = new Map<string, number>();
  for (const { node } of made.records.values())
    for (const { child } of node.edges) counts.set(child.hash, (counts.get(child.hash) ?? 0) + 1);
  for (const { node, refCount } of made.records.values()) assert.equal(refCount, counts.get(node.hash) ?? 0);
  assert.ok([...made.records.values()].some(({ node }) => node.name === "hdf5"));
});
