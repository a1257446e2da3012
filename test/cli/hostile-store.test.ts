// A store whose prefixes are full of links that lead out, of FIFOs and of odd names, whose database names places
// elsewhere, and specs with names that lead out: no verb touches anything outside the store, hangs or prints what a
// link leads to.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { digestOf } from "../../lib/oci/digest.ts";
import type { SpecDocument } from "../../lib/spack/spec/spec-file.ts";
import { specDocument } from "../../lib/spack/spec/spec-writer.ts";
import { writeJson } from "../../lib/spack/text/json.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { madeSpec, pushSpec } from "../support/caches.ts";
import { golden } from "../support/golden.ts";
import {
  asUser,
  checkOutside,
  makePlace,
  me,
  own,
  type Place,
  type Ran,
  run,
  unusable,
  users,
} from "../support/hostile-place.ts";
import { END, rawMember } from "../support/hostile-tar.ts";
import { makeTree, type TreeItem } from "../support/tree.ts";

const SPEC = madeSpec("ship", "1.0");
const { hash: HASH } = SPEC.root;

/** Writes a database with one spec at a recorded path. */
function record({ store }: Place, path: string, { root }: SpecDocument = SPEC): void {
  mkdirSync(join(store, ".spack-db"), { recursive: true });
  const { raw: spec } = root;
  const install = {
    spec,
    path,
    installed: true,
    ref_count: 0,
    explicit: true,
    installation_time: 1,
    in_buildcache: false,
  };
  const database = { version: "8", installs: { [root.hash]: install } };
  writeFileSync(join(store, ".spack-db/index.json"), JSON.stringify({ database }));
}

const prefixIn = ({ store }: Place): string => join(store, `linux-x86_64/ship-1.0-${HASH}`);

/** Things that lead out of a prefix, that never end, or that a terminal would obey. */
const plants = (canary: string): TreeItem[] => [
  { type: "file", path: "bin/ship", content: "#!/bin/sh\n" },
  { type: "symlink", path: "out", target: canary },
  { type: "symlink", path: "bin/victim", target: `${canary}/victim` },
  { type: "symlink", path: "lib", target: "../../../canary" },
  { type: "symlink", path: "dangling", target: `${canary}/new` },
  { type: "symlink", path: "loop", target: "loop" },
  { type: "symlink", path: "up", target: ".." },
  { type: "symlink", path: "self", target: "." },
  { type: "symlink", path: "root", target: "/" },
  { type: "file", path: "\x1b]0;title\x07" },
  { type: "file", path: "new\nline" },
  { type: "file", path: "\xff\xfe" },
  { type: "file", path: "-rf" },
  { type: "file", path: "$(touch new)" },
  { type: "file", path: "n".repeat(255) },
  { type: "symlink", path: ".spack/archived-files", target: canary },
];

interface Plant {
  readonly name: string;
  /** An administrator may have moved the prefix: what the link leads to is read as the prefix, and never changed. */
  readonly isMoved?: boolean;
  readonly make: (place: Place, prefix: string) => void;
}
const PREFIXES: readonly Plant[] = [
  {
    name: "links and odd names, and a link in place of the list of files",
    make: ({ folder }, prefix) => {
      makeTree(prefix, plants(join(folder, "canary")));
      symlinkSync(join(folder, "canary/victim"), join(prefix, ".spack/install_manifest.json"));
    },
  },
  {
    name: "FIFOs, also in place of the list of files",
    make: (_place, prefix) => {
      mkdirSync(join(prefix, "bin"));
      for (const path of ["fifo", "bin/fifo", ".spack/install_manifest.json"])
        execFileSync("mkfifo", [join(prefix, path)]);
    },
  },
  {
    name: "a link in place of the prefix",
    isMoved: true,
    make: ({ folder }, prefix) => {
      rmSync(prefix, { recursive: true });
      symlinkSync(join(folder, "canary"), prefix);
    },
  },
  {
    name: "a FIFO in place of the prefix",
    make: (_place, prefix) => {
      rmSync(prefix, { recursive: true });
      execFileSync("mkfifo", [prefix]);
    },
  },
  {
    name: "a link in place of the metadata",
    make: ({ folder }, prefix) => {
      rmSync(join(prefix, ".spack"), { recursive: true });
      symlinkSync(join(folder, "canary"), join(prefix, ".spack"));
    },
  },
];

const REFUSALS: ReadonlySet<string> = new Set(["CONFIG_INVALID", "FILE_SYSTEM", "SPEC_INVALID", "PARTIAL"]);
const at = ({ store }: Place): string[] => ["--store", store, "--no-env"];

/** Runs verbs that read a prefix; those that write do so elsewhere. */
async function readAll(place: Place): Promise<Ran[]> {
  const { folder } = place;
  const layout = `oci-layout:${join(folder, "home/layout")}`;
  const ran: Ran[] = [];
  mkdirSync(join(folder, "home/specs"));
  symlinkSync(join(folder, "canary/victim"), join(folder, "home/specs/ship.json"));
  own(place);
  for (const args of [
    ["verify", "--json"],
    ["find", "--json"],
    ["env", "--sh", "ship"],
    ["view", join(folder, "home/links"), "ship", "--json"],
    ["view", join(folder, "home/hard"), "ship", "--hardlink", "--json"],
    ["push", layout, "ship", "--json"],
    ["save-specfile", "--root-spec", "ship", "--specs", "ship", "--specfile-dir", join(folder, "home/specs")],
  ]) {
    const one = await run(place, [...args, ...at(place)]);
    assert.notEqual(one.status, 70, `${args[0]}: ${one.stderr}`);
    if (args.includes("--json")) JSON.parse(one.stdout);
    ran.push(one);
  }
  assert.deepEqual(readdirSync(join(folder, "home/specs")), ["ship.json"]);
  return ran;
}

/** The content of the blobs of a layout, unpacked. */
function blobsOf(layout: string): Buffer[] {
  const folder = join(layout, "blobs/sha256");
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((name) => {
    const bytes = readFileSync(join(folder, name));
    return bytes[0] === 0x1f ? gunzipSync(bytes) : bytes;
  });
}

for (const user of users)
  describe(asUser(user), { skip: unusable(user) }, () => {
    for (const { name, isMoved = false, make } of PREFIXES)
      test(`${name}: what reads reads nothing outside, and uninstall removes what is inside`, async () => {
        const place = makePlace(user);
        const prefix = prefixIn(place);
        record(place, prefix);
        mkdirSync(join(prefix, ".spack"), { recursive: true });
        writeFileSync(join(prefix, ".spack/spec.json"), writeJson(specDocument(SPEC.root, SPEC.graph)));
        make(place, prefix);
        own(place);
        const before = allBelow(prefix);
        checkOutside(place, ...(await readAll(place)));
        for (const blob of blobsOf(join(place.folder, "home/layout")))
          assert.ok(isMoved || !blob.includes("the secret of the canary"));
        assert.deepEqual(allBelow(prefix), before);
        const ran = await run(place, ["uninstall", "-y", "ship", ...at(place)]);
        assert.equal(ran.status, 0, ran.stderr);
        checkOutside(place, ran);
        assert.equal(lstatSync(prefix, { throwIfNoEntry: false }), undefined);
        assert.deepEqual(readdirSync(dirname(prefix)), []);
        assert.deepEqual(readdirSync(join(place.store, ".spack-db/under-way")), []);
      });

    test("a database that names places outside the store: nothing there is removed", async () => {
      const place = makePlace(user);
      const { folder, store } = place;
      mkdirSync(join(store, "inside"));
      symlinkSync(folder, join(store, "leads-out"));
      for (const path of [
        join(folder, "canary"),
        `${store}/../canary`,
        `${store}/inside/../../canary`,
        `${store}/leads-out/canary`,
        `${store}/.spack-db`,
        `${store}/.spack-db/under-way`,
        `${store}/inside/`,
        store,
        "/",
        "canary",
        "",
        `${store}/a\0b`,
        `${store}/${"x".repeat(5000)}`,
      ]) {
        record(place, path);
        own(place);
        const ran = await run(place, ["uninstall", "-y", "ship", "--json", ...at(place)]);
        const { error } = JSON.parse(ran.stdout);
        assert.ok(["FILE_SYSTEM", "CONTENT_INVALID", "SPEC_INVALID"].includes(error?.code), `${path}: ${ran.stdout}`);
        checkOutside(place, ran);
        assert.ok(existsSync(join(store, "inside")) && existsSync(join(store, ".spack-db/index.json")), path);
      }
    });
  });

test("links and FIFOs in place of the store's own files: what they lead to is neither written nor waited for", async () => {
  const target = `oci-layout:${golden("spack-1.2/plain.oci")}`;
  const hash = "bq6hs5tg726utiqtvgzy5vcxpiqjnded";
  for (const own of [`under-way/${hash}`, "index_verifier", "under-way", "lock", "prefix_lock", "work_lock"])
    for (const kind of ["link", "FIFO"]) {
      const place = makePlace(me);
      const file = join(place.store, ".spack-db", own);
      mkdirSync(dirname(file), { recursive: true });
      if (kind === "FIFO") execFileSync("mkfifo", [file]);
      else symlinkSync(join(place.folder, own === "under-way" ? "canary" : "canary/victim"), file);
      const ran = await run(place, ["install", target, `/${hash}`, "--otherarch", ...at(place)]);
      // What is in place of a note is taken for one of a killed run, and removed; the verifier is replaced.
      const isRemoved = own.includes("/") || own === "index_verifier";
      assert.equal(ran.status === 0, isRemoved, `${own} ${kind}: ${ran.stderr}`);
      checkOutside(place, ran);
    }
});

test("view stops at links that lead to their own folder again and again", async () => {
  const place = makePlace(me);
  const prefix = prefixIn(place);
  record(place, prefix);
  mkdirSync(join(prefix, ".spack"), { recursive: true });
  for (let link = 0; link < 300; link++) symlinkSync(".", join(prefix, `l${link}`));
  const view = join(place.folder, "home/view");
  const ran = await run(place, ["view", view, "ship", "--json", ...at(place)]);
  assert.equal(JSON.parse(ran.stdout).error?.code, "TOO_LARGE", ran.stdout);
  assert.ok(!existsSync(view));
});

/** Specs that are well formed, with values that would lead out if they were taken as they are. */
const ODD: readonly SpecDocument[] = [
  madeSpec("up", "../../../canary/new"),
  madeSpec("dots", ".."),
  madeSpec("absolute", "/tmp/stave-hostile"),
  madeSpec("long", "9".repeat(80)),
  madeSpec("arch", "1.0", [], { arch: { platform: "..", platform_os: "/", target: "../.." } }),
  madeSpec("space", "1.0", [], { namespace: "../../canary" }),
];
/** Where values can be made harmless, specs are installed; the others would lead out, for one of the specs at least. */
const PROJECTIONS: readonly { readonly projection: string | undefined; readonly isRefused?: boolean }[] = [
  { projection: undefined },
  { projection: "{version}", isRefused: true },
  { projection: "{namespace}/{name}" },
  { projection: "{architecture.platform}/{architecture.os}/{architecture.target}/{name}", isRefused: true },
  { projection: "{name}/../../canary", isRefused: true },
  { projection: "../canary/{name}", isRefused: true },
  { projection: "/tmp/stave-hostile/{name}", isRefused: true },
  { projection: ".spack-db/{name}", isRefused: true },
];

for (const { projection, isRefused = false } of PROJECTIONS)
  test(`specs with values that lead out, and the projection ${projection ?? "of Spack"}: nothing leaves the store`, async () => {
    const place = makePlace(me);
    const target = await LayoutTarget.open(place.cache, { clock: systemClock, create: true });
    const info = rawMember({ name: "s/p/.spack/binary_distribution" }, "{buildpath: /old, hash_to_prefix: {}}\n");
    const archive = Buffer.concat([info, rawMember({ name: "s/p/file" }, "x"), END]);
    for (const spec of ODD)
      await pushSpec(target, spec, { archive: { packed: gzipSync(archive), diffId: digestOf(archive) } });
    await target.close();
    const { folder, cache, store } = place;
    const where = ["--store", store, "--no-env"];
    const config = projection === undefined ? [] : ["-c", `config:install_tree:projections:all:'${projection}'`];
    const hashes = ODD.map(({ root }) => `/${root.hash}`);
    const args = ["install", `oci-layout:${cache}`, ...where, ...config, "--otherarch", "--json", ...hashes];
    const installed = await run(place, args);
    const { report, error } = JSON.parse(installed.stdout);
    const specs: { name: string; outcome: string; error?: { code: string } }[] = report?.specs ?? [];
    for (const code of [error?.code, ...specs.map((spec) => spec.error?.code)])
      assert.ok(code === undefined || REFUSALS.has(code), `${code}: ${installed.stderr}`);
    const there = specs.filter(({ outcome }) => outcome === "installed").map(({ name }) => name);
    assert.equal(there.length > 0, !isRefused, installed.stdout);
    const ran = [installed];
    const to = join(folder, "home/to");
    // These do not depend on the projection.
    for (const hash of projection === undefined ? hashes : [])
      ran.push(await run(place, ["download", hash, "-p", to, "-m", `oci-layout:${cache}`, "--no-env"]));
    for (const name of there) {
      ran.push(await run(place, ["env", "--sh", name, ...where]));
      ran.push(await run(place, ["view", join(folder, "home/view"), name, ...where]));
      const from = ["--root-spec", name, "--specs", name, "--specfile-dir", to];
      ran.push(await run(place, ["save-specfile", ...from, ...where]));
      ran.push(await run(place, ["uninstall", "-y", name, ...where]));
    }
    checkOutside(place, ...ran);
    for (const { status, stderr } of ran.slice(1)) assert.equal(status, 0, stderr);
    assert.deepEqual(readdirSync(folder).toSorted(), ["cache", "canary", "home", basename(store), "tmp"].toSorted());
    assert.ok(!existsSync("/tmp/stave-hostile"));
  });

// The path of everything below a folder, with its kind; no links are followed.
function allBelow(folder: string): string[] {
  if (!lstatSync(folder).isDirectory()) return [];
  return readdirSync(folder, { withFileTypes: true, encoding: "latin1" }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return [`${path}${entry.isSymbolicLink() ? " link" : ""}`, ...(entry.isDirectory() ? allBelow(path) : [])];
  });
}
