// Copies between caches of every kind keep archives, specs, layers and what a mirror says about its specs.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { CachedSpec, IndexedCache, ReadCache } from "../../../lib/cache/cache.ts";
import { checkIndex } from "../../../lib/cache/index-update.ts";
import { GpgSigner, LateSigner } from "../../../lib/cache/mirror/gpg.ts";
import type { MirrorCache } from "../../../lib/cache/mirror/mirror-cache.ts";
import { OciCache } from "../../../lib/cache/oci-cache.ts";
import { check } from "../../../lib/ops/cache/check.ts";
import { migrate } from "../../../lib/ops/sync/migrate.ts";
import { planSync, type SyncOptions, sync } from "../../../lib/ops/sync/sync.ts";
import { parseQueries } from "../../../lib/spack/query/spec-parser.ts";
import { writeJson } from "../../../lib/spack/text/json.ts";
import type { ProgressEvent } from "../../../lib/util/progress.ts";
import { emptyLayout, goldenCache } from "../../support/caches.ts";
import { connect } from "../../support/client.ts";
import { failsWith } from "../../support/errors.ts";
import { gpg, gpgHome, makeKey, noGpg } from "../../support/gpg.ts";
import { copiedMirror, goldenMirror, mirrorAt } from "../../support/mirrors.ts";
import { startRegistry } from "../../support/registry.ts";
import { temporaryFolder } from "../../support/tree.ts";

const options: SyncOptions = { jobs: 4, now: Date.now() };
const newMirror = (): MirrorCache => mirrorAt(temporaryFolder(), { isWritten: true });
const readAll = async (cache: ReadCache): Promise<Map<string, CachedSpec>> => {
  const tags = [...(await cache.list()).specs.keys()].sort();
  return new Map(await Promise.all(tags.map(async (tag) => [tag, await cache.fetchSpec(tag)] as const)));
};
const outcomes = async (from: ReadCache, to: IndexedCache, more: Partial<SyncOptions> = {}): Promise<string[]> => {
  const { specs, failures } = await sync(from, to, { ...options, ...more });
  assert.deepEqual(failures, []);
  return [...new Set(specs.map(({ outcome }) => outcome))];
};
// Variables set by recipes are known to Spack only.
const BY_RECIPE = /^(?:RIGGING_\w+|VOYAGE_MODE)=/;

for (const generation of ["spack-1.2", "spack-0.23"] as const)
  test(`images of ${generation} that go through a mirror come back with their layers, specs and variables`, async () => {
    const images = await goldenCache(`${generation}/plain.oci`);
    const mirror = newMirror();
    const back = new OciCache(await emptyLayout());
    assert.deepEqual(await outcomes(images, mirror), ["copied"]);
    assert.deepEqual(await outcomes(mirror, back), ["copied"]);
    assert.equal((await check(back, { depth: "bytes" })).broken.length, 0);
    const [before, after] = await Promise.all([readAll(images), readAll(back)]);
    assert.deepEqual([...after.keys()], [...before.keys()]);
    for (const [tag, spec] of before) {
      const made = after.get(tag);
      assert.deepEqual(
        made?.layers.map(({ digest }) => digest),
        spec.layers.map(({ digest }) => digest),
        tag,
      );
      assert.equal(made?.diffId, spec.diffId);
      assert.equal(writeJson(made?.document.value ?? null), writeJson(spec.document.value));
      // The golden push kept Spack's own variables, with folders of the host and repeated entries.
      const values = (env: readonly string[] = []): string[] =>
        env
          .filter((entry) => !BY_RECIPE.test(entry))
          .map((entry) => {
            const [name = "", value = ""] = entry.split(/=(.*)/s);
            const parts = value.split(":").filter((part) => !/^\/usr(?:\/|$)/.test(part) || name === "PATH");
            return `${name}=${[...new Set(parts)].join(":")}`;
          })
          .filter((entry) => !entry.endsWith("="))
          .sort();
      assert.deepEqual(values(made?.env), values(spec.env), tag);
    }
    assert.deepEqual((await checkIndex(back)).isCurrent, true);
  });

const filesIn = (folder: string): string[] =>
  (readdirSync(folder, { recursive: true }) as string[]).filter((name) => statSync(join(folder, name)).isFile()).sort();

test("between mirrors every manifest, signature, archive and spec stays byte for byte", async () => {
  const [from, to] = [await goldenMirror(3), temporaryFolder()];
  assert.deepEqual(await outcomes(mirrorAt(from), mirrorAt(to, { isWritten: true })), ["linked"]);
  for (const name of filesIn(from).filter((file) => file.startsWith("v3/manifests/spec/")))
    assert.ok(readFileSync(join(from, name)).equals(readFileSync(join(to, name))), name);
  assert.equal((await check(mirrorAt(to), { depth: "bytes" })).broken.length, 0);
});

test("between folders archives are linked after they were verified, and keys travel", async () => {
  const source = await copiedMirror(3);
  const folder = temporaryFolder();
  const to = mirrorAt(folder, { isWritten: true });
  const from = mirrorAt(source);
  const broken = [...(await readAll(from)).values()][0];
  assert.ok(broken);
  const hex = broken.archive.digest.slice(7);
  const place = (root: string, name: string): string => join(root, "blobs/sha256", name.slice(0, 2), name);
  const bytes = readFileSync(place(source, hex));
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(place(source, hex), bytes);
  const report = await sync(from, to, options);
  assert.deepEqual(
    report.failures.map(({ code }) => code),
    ["DIGEST_MISMATCH"],
  );
  assert.throws(() => statSync(place(folder, hex)), "what is damaged gets no name");
  const linked = report.specs.filter(({ outcome }) => outcome === "linked");
  assert.deepEqual([linked.length, report.sentBytes, report.keys.length], [7, 0, 1]);
  for (const { tag } of linked) {
    const name = (await to.fetchSpec(tag)).archive.digest.slice(7);
    assert.equal(statSync(place(folder, name)).ino, statSync(place(source, name)).ino);
  }
  assert.deepEqual(await to.keys(), await from.keys());
});

test("a mirror of layout 2 is copied into one of layout 3, with the same archives", async () => {
  const [old, mirror] = [mirrorAt(await goldenMirror(2)), newMirror()];
  assert.deepEqual(await outcomes(old, mirror), ["linked"]);
  const [before, after] = await Promise.all([readAll(old), readAll(mirror)]);
  for (const [tag, { archive }] of before) assert.equal(after.get(tag)?.archive.digest, archive.digest);
});

test("what is there is not sent again, an archive that is there is not either, and a plan writes nothing", async () => {
  const from = mirrorAt(await goldenMirror(3));
  const folder = temporaryFolder();
  const to = (): MirrorCache => mirrorAt(folder, { isWritten: true });
  const plan = await planSync(from, to(), options);
  assert.deepEqual([new Set(plan.specs.map(({ outcome }) => outcome)), filesIn(folder)], [new Set(["to copy"]), []]);
  await sync(from, to(), options);
  const again = await sync(from, to(), options);
  assert.deepEqual([again.sentBytes, again.index?.isWritten, again.keys], [0, false, []]);
  rmSync(join(folder, "v3/manifests/spec/hull"), { recursive: true });
  const { specs, sentBytes } = await sync(from, to(), options);
  const outcome = specs.filter((spec) => spec.outcome !== "present").map((spec) => [spec.name, spec.outcome]);
  assert.deepEqual([outcome, sentBytes], [[["hull", "linked"]], 0]);
});

test("what an interrupted run did not come to, the next one does, although every spec is there", async () => {
  const from = mirrorAt(await goldenMirror(3));
  const folder = temporaryFolder();
  const to = (): MirrorCache => mirrorAt(folder, { isWritten: true });
  await sync(from, to(), options);
  for (const name of ["index", "key"]) rmSync(join(folder, "v3/manifests", name), { recursive: true });
  const { specs, index, keys } = await sync(from, to(), options);
  assert.deepEqual(new Set(specs.map(({ outcome }) => outcome)), new Set(["present"]));
  assert.deepEqual([index?.isWritten, index?.specs, keys.length], [true, 8, 1]);
  assert.deepEqual(await to().keys(), await from.keys());
});

test("a spec comes with its dependencies, and removals follow the source on request", async () => {
  const from = mirrorAt(await goldenMirror(3));
  const folder = temporaryFolder();
  const to = (): MirrorCache => mirrorAt(folder, { isWritten: true });
  const context = { host: { platform: "linux", os: undefined, target: undefined }, toolchains: new Map() };
  const queries = parseQueries("hull", context as never).map((query) => ({ query, text: "hull" }));
  const names = async (): Promise<string[]> => [...(await to().list()).specs.values()].map(({ name }) => name).sort();
  await sync(from, to(), options);
  await sync(from, to(), { ...options, queries });
  assert.equal((await names()).length, 8);
  const planned = await planSync(from, to(), { ...options, queries, removes: true });
  const done = await sync(from, to(), { ...options, queries, removes: true });
  assert.deepEqual([planned.removed.length, done.removed], [5, planned.removed]);
  assert.deepEqual(await names(), ["gcc-runtime", "hull", "zlib-ish"]);
  assert.equal((await checkIndex(to())).isCurrent, true);
});

test("a damaged archive fails its spec alone, nothing of it is published, and the next run goes on", async () => {
  const broken = await copiedMirror(3);
  const source = mirrorAt(broken);
  const tag = [...(await source.list()).specs.keys()].find((each) => each.startsWith("rigging-")) ?? "";
  const { digest } = (await source.fetchSpec(tag)).archive;
  const path = join(broken, "blobs/sha256", digest.slice(7, 9), digest.slice(7));
  const bytes = readFileSync(path);
  writeFileSync(path, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
  const [mirror, images] = [newMirror(), new OciCache(await emptyLayout())];
  const first = await sync(source, mirror, options);
  assert.deepEqual(
    first.specs.filter(({ outcome }) => outcome === "failed").map(({ name }) => name),
    ["rigging"],
  );
  assert.match(first.failures[0]?.message ?? "", /^rigging@2024\.11\/\w{7} was not copied: .*has digest/);
  assert.equal((await check(mirror, { depth: "bytes" })).broken.length, 0);
  const made = await sync(source, images, options);
  const failed = made.specs
    .filter(({ outcome }) => outcome === "failed")
    .map(({ name }) => name)
    .sort();
  assert.deepEqual(failed, ["fleet", "paddle", "rigging", "voyage"]);
  assert.equal((await check(images, { depth: "bytes" })).broken.length, 0);
  writeFileSync(path, bytes);
  assert.equal((await sync(source, images, options)).failures.length, 0);
  assert.equal((await check(images, { depth: "bytes" })).checked, 8);
});

test("specs without a signature are signed on the way into a mirror that wants one; signed ones stay", {
  skip: noGpg,
}, async () => {
  const home = gpgHome();
  makeKey(home, "mover@stave");
  const signer = new LateSigner(() => GpgSigner.open(undefined, { home, env: process.env }));
  const folder = temporaryFolder();
  await sync(await goldenCache("spack-1.2/plain.oci"), mirrorAt(folder, { isWritten: true, signer }), options);
  for (const name of filesIn(join(folder, "v3/manifests/spec")))
    gpg(home, ["--decrypt"], readFileSync(join(folder, "v3/manifests/spec", name)));
  // No secret key is needed if nothing is to be signed.
  const none = new LateSigner(() => GpgSigner.open(undefined, { home: gpgHome(), env: process.env }));
  const kept = mirrorAt(temporaryFolder(), { isWritten: true, signer: none });
  assert.deepEqual(await outcomes(mirrorAt(await goldenMirror(3)), kept), ["linked"]);
});

test("without a key for specs that must be signed, nothing is copied, and a plan says so, too", {
  skip: noGpg,
}, async () => {
  const none = (): LateSigner => new LateSigner(() => GpgSigner.open(undefined, { home: gpgHome(), env: process.env }));
  const unsigned = await copiedMirror(3);
  // Only the last of the specs that the mirror lists lacks its signature.
  const manifests = filesIn(join(unsigned, "v3/manifests/spec"));
  const last = join(unsigned, "v3/manifests/spec", manifests.at(-1) ?? "");
  writeFileSync(last, /\{.*\}/s.exec(readFileSync(last, "utf8"))?.[0] ?? "");
  for (const from of [await goldenCache("spack-1.2/plain.oci"), mirrorAt(await goldenMirror(2)), mirrorAt(unsigned)]) {
    const folder = temporaryFolder();
    const to = (): MirrorCache => mirrorAt(folder, { isWritten: true, signer: none() });
    await failsWith("CREDENTIALS_MISSING", planSync(from, to(), options));
    await failsWith("CREDENTIALS_MISSING", sync(from, to(), options));
    assert.deepEqual(filesIn(folder), []);
  }
});

test("between caches of images of one registry archives are mounted, and count as linked", async () => {
  const registry = await startRegistry();
  after(() => registry.close());
  const cache = (repository: string): OciCache => {
    const { target, close } = connect(registry.host, repository);
    after(close);
    return new OciCache(target);
  };
  const images = await goldenCache("spack-1.2/plain.oci");
  assert.deepEqual(await outcomes(images, cache("one")), ["copied"]);
  const { specs, sentBytes, failures } = await sync(cache("one"), cache("two"), options);
  assert.deepEqual([new Set(specs.map(({ outcome }) => outcome)), sentBytes, failures], [new Set(["linked"]), 0, []]);
});

test("what is lost is told once, before the first spec is written, and only if it is there", async () => {
  const run = async (from: ReadCache, to: IndexedCache) => {
    const events: ProgressEvent[] = [];
    const report = await sync(from, to, { ...options, onProgress: (event) => events.push(event) });
    const notes = events.flatMap((event) => (event.type === "note" && event.text.startsWith("not ") ? event.text : []));
    const first = events.findIndex((event) => event.type === "note" && notes.includes(event.text));
    assert.ok(first <= events.findIndex(({ type }) => type === "start"));
    assert.deepEqual(
      notes,
      report.lost.map((what) => `not copied, because ${to.name} cannot hold them: ${what}`),
    );
    return report.lost;
  };
  const unsigned = newMirror();
  assert.match((await run(await goldenCache("spack-1.2/plain.oci"), unsigned)).join(), /^environment variables, base/);
  const images = new OciCache(await emptyLayout());
  assert.deepEqual(await run(mirrorAt(await goldenMirror(3)), images), ["gpg signatures"]);
  assert.deepEqual(await run(mirrorAt(await goldenMirror(3)), images), [], "everything is there");
  assert.deepEqual(await run(unsigned, new OciCache(await emptyLayout())), [], "there are no signatures");
});

for (const kind of ["a mirror", "images"] as const)
  test(`the progress of a sync from ${kind} counts the bytes of archives against their sizes`, async () => {
    const from = kind === "images" ? await goldenCache("spack-1.2/plain.oci") : mirrorAt(await goldenMirror(3));
    const to = new OciCache(await emptyLayout());
    const [sizes, bytes, queued] = [new Map<string, number>(), new Map<string, number>(), new Set<string>()];
    const onProgress = (event: ProgressEvent): void => {
      if (event.type === "queued") queued.add(event.id);
      if (event.type === "start") sizes.set(event.id, event.size ?? 0);
      if (event.type === "bytes") bytes.set(event.id, (bytes.get(event.id) ?? 0) + event.count);
    };
    const { specs, sentBytes } = await sync(from, to, { ...options, jobs: 1, onProgress });
    assert.deepEqual(queued, new Set(specs.map(({ hash }) => hash)));
    for (const { hash, size } of specs) assert.ok(size !== undefined && size > 0 && sizes.get(hash) === size);
    const counted = [...sizes].map(([hash, size]) => Math.min(size, bytes.get(hash) ?? 0));
    // A layer of a dependency may be copied before the dependency is.
    if (kind === "a mirror") assert.deepEqual([...sizes.values()].sort(), [...bytes.values()].sort());
    else assert.ok(counted.some((count) => count > 0));
    assert.ok(sentBytes >= counted.reduce((sum, count) => sum + count, 0));
  });

test("migrate brings a mirror to the newest layout, and removes only what it has read back", async () => {
  const folder = await copiedMirror(2);
  const [rigging = ""] = (readdirSync(join(folder, "build_cache"), { recursive: true }) as string[]).filter((name) =>
    /rigging.*\.spack$/.test(name),
  );
  const path = join(folder, "build_cache", rigging);
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.subarray(0, -1));
  const run = (): ReturnType<typeof migrate> =>
    migrate(mirrorAt(folder), mirrorAt(folder, { isWritten: true }), { ...options, removesOld: true });
  const plan = await migrate(mirrorAt(folder), mirrorAt(folder, { isWritten: true }), { ...options, isDryRun: true });
  assert.deepEqual([plan.removed, filesIn(folder).some((name) => name.startsWith("v3"))], [[], false]);
  const first = await run();
  assert.deepEqual([first.removed.length, first.left.map((tag) => tag.split("-")[0])], [6, ["rigging"]]);
  assert.ok(filesIn(folder).includes("build_cache/index.json"));
  writeFileSync(path, bytes);
  const second = await run();
  assert.deepEqual([second.removed.length, second.left], [1, []]);
  assert.deepEqual(
    filesIn(folder).filter((name) => name.startsWith("build_cache")),
    [],
  );
  const { checked, broken } = await check(mirrorAt(folder), { depth: "bytes" });
  assert.deepEqual([checked, broken], [7, []]);
});
