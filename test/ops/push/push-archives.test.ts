// Pushes to mirrors: byte by byte as Spack writes them, except for what a compressor or a key decides.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { checkIndex, updateIndex } from "../../../lib/cache/index-update.ts";
import { isClearSigned, textOf } from "../../../lib/cache/mirror/clear-signed.ts";
import { GpgSigner } from "../../../lib/cache/mirror/gpg.ts";
import type { MirrorCache } from "../../../lib/cache/mirror/mirror-cache.ts";
import { blobIn } from "../../../lib/cache/mirror/mirror-manifest.ts";
import { type PushArchivesOptions, planArchives, pushArchives } from "../../../lib/ops/push/push-archives.ts";
import { failsWith } from "../../support/errors.ts";
import { gpg, gpgHome, makeKey, noGpg } from "../../support/gpg.ts";
import { goldenMirror, mirrorAt } from "../../support/mirrors.ts";
import { goldenStore, named } from "../../support/push.ts";
import { temporaryFolder } from "../../support/tree.ts";

const { store } = await goldenStore();
const pushTo = (cache: MirrorCache, more: Partial<PushArchivesOptions> = {}): PushArchivesOptions => ({
  ...{ store, cache, roots: [named(store, "fleet"), named(store, "hull")], jobs: 2 },
  ...{ spackPrefix: "/opt/harbor/spack", ...more },
});
const written = (folder: string): MirrorCache => mirrorAt(folder, { isWritten: true });
const filesIn = (folder: string): string[] =>
  (readdirSync(folder, { recursive: true }) as string[]).filter((name) => statSync(join(folder, name)).isFile()).sort();
const blobAt = (folder: string, digest: string): Buffer =>
  readFileSync(join(folder, "blobs/sha256", digest.slice(7, 9), digest.slice(7)));

test("a mirror pushed from the golden store equals that of Spack, but for compressed bytes and signatures", async () => {
  const [mine, spacks] = [temporaryFolder(), await goldenMirror(3)];
  const report = await pushArchives(pushTo(written(mine), { updateIndex: true }));
  assert.deepEqual(report.failures, []);
  const named = (folder: string): string[] =>
    filesIn(folder).filter((name) => name.startsWith("v3/") && !name.includes("/key/"));
  assert.deepEqual(named(mine), named(spacks));
  for (const name of named(mine)) {
    const [mineText, spackText] = [mine, spacks].map((folder) => textOf(readFileSync(join(folder, name)), name));
    const blind = (text = ""): string =>
      text
        .replaceAll(/"checksum":"[0-9a-f]{64}"/g, "")
        .replaceAll(/"contentLength":\d+/g, "")
        .trimEnd();
    assert.equal(blind(mineText), blind(spackText), name);
    if (name === "v3/layout.json") continue;
    for (const kind of ["archive", "spec", "index"] as const) {
      const [a, b] = [blobIn(mineText ?? "", kind, name), blobIn(spackText ?? "", kind, name)];
      if (a === undefined || b === undefined) continue;
      const [x, y] = [blobAt(mine, a.digest), blobAt(spacks, b.digest)];
      if (kind === "index") assert.deepEqual(JSON.parse(x.toString()), JSON.parse(y.toString()));
      else assert.ok(gunzipSync(x).equals(gunzipSync(y)), `${kind} of ${name}`);
    }
  }
  assert.deepEqual(
    filesIn(mine).filter((name) => !/^(?:v3|blobs)\//.test(name)),
    [".stave-lock"],
  );
  const again = await pushArchives(pushTo(written(mine), { updateIndex: true }));
  assert.deepEqual(new Set(again.specs.map(({ outcome }) => outcome)), new Set(["present"]));
  assert.equal(again.index?.isWritten, false);
});

test("a plan writes nothing; --force and --verify pack again what is asked and what is broken", async () => {
  const folder = temporaryFolder();
  const only = { only: "package" as const, roots: [named(store, "hull"), named(store, "rigging")] };
  const plan = await planArchives(pushTo(written(folder), only));
  assert.deepEqual([plan.totals.packSpecs, plan.totals.requests, filesIn(folder)], [2, 0, []]);
  await pushArchives(pushTo(written(folder), only));
  const outcomes = async (more: Partial<PushArchivesOptions>): Promise<string[]> =>
    (await pushArchives(pushTo(written(folder), { ...only, ...more }))).specs.map(({ outcome }) => outcome).sort();
  assert.deepEqual(await outcomes({ force: true }), ["pushed", "pushed"]);
  const cache = written(folder);
  const tag = [...(await cache.list()).specs.keys()].find((each) => each.startsWith("hull-")) ?? "";
  const { archive } = await cache.fetchSpec(tag);
  rmSync(join(folder, "blobs/sha256", archive.digest.slice(7, 9), archive.digest.slice(7)));
  assert.deepEqual(await outcomes({}), ["present", "present"]);
  assert.deepEqual(await outcomes({ verify: true }), ["present", "repaired"]);
});

test("images, base images and zstd are refused by name", async () => {
  const cache = written(temporaryFolder());
  await failsWith("UNSUPPORTED", pushArchives(pushTo(cache, { tags: ["app"] })), /has no images/);
  await failsWith(
    "UNSUPPORTED",
    pushArchives(pushTo(cache, { compression: { method: "zstd", level: 3 } })),
    /takes only gzip/,
  );
});

test("the index of a mirror follows its files, and several writers lose nothing", async () => {
  const folder = temporaryFolder();
  const names = ["hull", "rigging", "paddle", "voyage", "zlib-ish", "gcc-runtime"];
  await Promise.all(
    names.map((name) =>
      pushArchives(pushTo(written(folder), { roots: [named(store, name)], only: "package", updateIndex: true })),
    ),
  );
  const cache = written(folder);
  const { isCurrent, specs } = await checkIndex(cache);
  assert.deepEqual([isCurrent, specs], [true, names.length]);
  rmSync(join(folder, "v3/manifests/spec/hull"), { recursive: true });
  const { dropped, isWritten } = await updateIndex(written(folder));
  assert.deepEqual([dropped.length, isWritten], [1, true]);
  writeFileSync(join(folder, "v3/manifests/spec/rigging/odd.txt"), "");
  assert.deepEqual((await written(folder).list()).foreign, ["v3/manifests/spec/rigging/odd.txt"]);
});

test("a signing push signs, publishes its key, and replaces what is unsigned", { skip: noGpg }, async () => {
  const [folder, home] = [temporaryFolder(), gpgHome()];
  const fingerprint = makeKey(home, "pusher@stave");
  const options = { home, env: process.env };
  const signing = async (): Promise<MirrorCache> =>
    mirrorAt(folder, { isWritten: true, signer: await GpgSigner.open(undefined, options) });
  const only = { only: "package" as const, roots: [named(store, "hull")], updateIndex: true };
  const outcomes = async (cache: MirrorCache): Promise<string[]> =>
    (await pushArchives(pushTo(cache, only))).specs.map(({ outcome }) => outcome);
  assert.deepEqual(await outcomes(written(folder)), ["pushed"]);
  assert.deepEqual(await outcomes(await signing()), ["pushed"]);
  assert.deepEqual(await outcomes(await signing()), ["present"]);
  assert.deepEqual(await outcomes(written(folder)), ["present"]);
  const [manifest = ""] = filesIn(folder).filter((name) => name.includes("/hull-"));
  const bytes = readFileSync(join(folder, manifest));
  assert.ok(isClearSigned(bytes));
  assert.match(gpg(home, ["--decrypt"], bytes), /^\{\n"version":3,\n/);
  const keys = filesIn(join(folder, "v3/manifests/key"));
  assert.deepEqual(keys, [`${fingerprint}.key.manifest.json`, "keys.manifest.json"].sort());
  const index = blobIn(readFileSync(join(folder, "v3/manifests/key/keys.manifest.json"), "utf8"), "key index", "keys");
  assert.equal(blobAt(folder, index?.digest ?? "").toString(), `{"keys":{"${fingerprint}":{}}}`);
  makeKey(home, "other@stave");
  await failsWith("USAGE", GpgSigner.open(undefined, options), /there are 2 secret keys/);
  await failsWith("CREDENTIALS_MISSING", GpgSigner.open("nobody", options), /no secret key named nobody/);
});
