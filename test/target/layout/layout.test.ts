// Proves that layouts are plain image layouts, fast with many tags, and safe with many processes.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { hexOf } from "../../../lib/oci/digest.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import { LockFile } from "../../../lib/util/file-lock.ts";
import { bytesSource, readAll } from "../../../lib/util/stream.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { blobOf, imageOf, indexOf, pushImage, someBytes } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { LOADER } from "../../support/loader.ts";

const root = mkdtempSync(join(tmpdir(), "stave-layout-"));
after(() => rmSync(root, { recursive: true, force: true }));
let counter = 0;
const place = () => join(root, String(counter++));
const open = (directory: string, create = true) => LayoutTarget.open(directory, { clock: systemClock, create });
const indexIn = (directory: string): { manifests: { digest: string; annotations?: Record<string, string> }[] } =>
  JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
const blobPath = (directory: string, digest: string) => join(directory, "blobs/sha256", digest.slice(7));

test("what is written is a plain image layout, and nothing else is left", async () => {
  const directory = place();
  const target = await open(directory);
  await pushImage(target, imageOf(1), "v1");
  await target.close();
  assert.deepEqual(readdirSync(directory).sort(), [".stave-lock", "blobs", "index.json", "oci-layout"]);
  assert.equal(readFileSync(join(directory, "oci-layout"), "utf8"), '{"imageLayoutVersion":"1.0.0"}');
  assert.equal(readdirSync(join(directory, "blobs/sha256")).length, 4);
});

test("tags: set, moved, listed, removed; the old image stays reachable by digest", async () => {
  const target = await open(place());
  const [one, two] = [imageOf(1), imageOf(2)];
  await pushImage(target, one, "t");
  await pushImage(target, two, "t");
  assert.equal((await target.headManifest("t"))?.digest, two.descriptor.digest);
  assert.ok((await target.fetchManifest(one.descriptor.digest)).bytes.equals(Buffer.from(one.bytes)));
  assert.deepEqual(await Array.fromAsync(target.tags()), ["t"]);
  await target.deleteManifest("t");
  assert.deepEqual(await Array.fromAsync(target.tags()), []);
  await failsWith("NOT_FOUND", target.deleteManifest("t"));
  await failsWith("NOT_FOUND", target.fetchManifest("t"));
  assert.equal(await target.headManifest("t"), undefined);
});

test("entries of other tools are kept as they are", async () => {
  const directory = place();
  const target = await open(directory);
  const image = imageOf(1);
  await pushImage(target, image, "mine");
  const foreign = {
    mediaType: "x/y",
    digest: blobOf(someBytes(5)).descriptor.digest,
    size: 5,
    platform: { os: "linux", architecture: "amd64", "os.version": "7" },
    annotations: { "org.example.note": "keep me" },
    extra: { a: [1] },
  };
  const index = indexIn(directory);
  writeFileSync(
    join(directory, "index.json"),
    JSON.stringify({ ...index, manifests: [foreign, ...index.manifests], annotations: { top: "level" } }),
  );
  await pushImage(target, imageOf(2), "other");
  const after = JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
  assert.deepEqual(after.manifests[0], foreign);
  assert.deepEqual(after.annotations, { top: "level" });
  assert.equal(after.manifests.length, 3);
});

test("children of an index leave the list when the index comes; referrers stay", async () => {
  const directory = place();
  const target = await open(directory);
  const child = imageOf("child");
  await pushImage(target, child);
  assert.equal(indexIn(directory).manifests.length, 1, "found by others until its index is there");
  const signature = imageOf("sig", [10], { subject: child.descriptor, artifactType: "a/b" });
  await pushImage(target, signature);
  const index = indexOf([
    { image: child, architecture: "amd64" },
    { image: signature, architecture: "arm64" },
  ]);
  await target.pushManifest(index.bytes, index.descriptor.mediaType, { tag: "multi" });
  assert.equal(indexIn(directory).manifests.length, 2);
  assert.deepEqual(
    (await target.referrers(child.descriptor.digest)).map((entry) => entry.digest),
    [signature.descriptor.digest],
  );
  assert.deepEqual(await target.referrers(child.descriptor.digest, { artifactType: "c/d" }), []);
});

test("referrers that other tools keep under the fall-back tag are found", async () => {
  const target = await open(place());
  const subject = await pushImage(target, imageOf(1), "v1");
  const referrer = imageOf("r", [10], { subject, artifactType: "a/b" });
  for (const blob of referrer.blobs) await target.pushBlob(blob.descriptor, bytesSource(blob.bytes));
  const list = indexOf([{ image: referrer, architecture: "amd64" }]);
  await target.pushBlob(referrer.descriptor, bytesSource(referrer.bytes));
  await target.pushManifest(list.bytes, list.descriptor.mediaType, { tag: `sha256-${hexOf(subject.digest)}` });
  assert.deepEqual(
    (await target.referrers(subject.digest)).map((entry) => entry.digest),
    [referrer.descriptor.digest],
  );
});

test("tags under a condition", async () => {
  const target = await open(place());
  const [one, two] = [imageOf(1), imageOf(2)];
  await pushImage(target, one, "t");
  const put = (condition: { absent: true } | { digest: typeof one.descriptor.digest }) =>
    target.pushManifest(two.bytes, two.descriptor.mediaType, { tag: "t", condition });
  await failsWith("CONFLICT", put({ absent: true }));
  await failsWith("CONFLICT", put({ digest: two.descriptor.digest }));
  await put({ digest: one.descriptor.digest });
});

test("a thousand pushes at once share few writes", async () => {
  const directory = place();
  const target = await open(directory);
  const image = imageOf(1);
  await pushImage(target, image, "first");
  const inodes = new Set<number>();
  const watch = setInterval(() => inodes.add(statSync(join(directory, "index.json")).ino), 1);
  await Promise.all(
    Array.from({ length: 1000 }, (_, at) =>
      target.pushManifest(image.bytes, image.descriptor.mediaType, { tag: `t${at}` }),
    ),
  );
  clearInterval(watch);
  assert.equal((await Array.fromAsync(target.tags())).length, 1001);
  assert.ok(inodes.size < 100, `${inodes.size} writes`);
});

test("a directory of 50 000 tags is read once and answered from memory", async () => {
  const directory = place();
  const target = await open(directory);
  const image = imageOf(1);
  await pushImage(target, image, "first");
  const [entry] = indexIn(directory).manifests;
  const manifests = Array.from({ length: 50_000 }, (_, at) => ({
    ...entry,
    annotations: { "org.opencontainers.image.ref.name": `t${at}` },
  }));
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  for (let at = 0; at < 200; at++) assert.ok(await target.headManifest(`t${at * 100}`));
  await target.pushManifest(image.bytes, image.descriptor.mediaType, { tag: "new" });
  assert.equal((await Array.fromAsync(target.tags())).length, 50_001);
});

test("eight processes at once lose nothing", { timeout: 60_000 }, async () => {
  const directory = place();
  const writer = new URL("../../support/layout-writer.ts", import.meta.url).pathname;
  const ended = Array.from({ length: 8 }, (_, at) => {
    const child = spawn(process.execPath, [...LOADER, writer, directory, `p${at}`, "50"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    return new Promise<number | null>((resolve) => child.on("exit", resolve));
  });
  assert.deepEqual(await Promise.all(ended), Array(8).fill(0));
  const target = await open(directory, false);
  assert.equal((await Array.fromAsync(target.tags())).length, 400);
});

test("a process that is killed leaves a whole layout, and everything it had announced", {
  timeout: 60_000,
}, async () => {
  for (const delay of [150, 200, 250, 300, 400]) {
    const directory = place();
    const writer = new URL("../../support/layout-writer.ts", import.meta.url).pathname;
    const child = spawn(process.execPath, [...LOADER, writer, directory, "k", "300"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const closed = new Promise((resolve) => child.on("close", resolve));
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
    });
    await setTimeout(delay);
    child.kill("SIGKILL");
    await closed;
    const target = await open(directory);
    const tags = new Set(await Array.fromAsync(target.tags()));
    for (const tag of said.split("\n").slice(0, -1)) assert.ok(tags.has(tag), `${tag} was announced`);
    for (const tag of tags) {
      const { layers } = JSON.parse((await target.fetchManifest(tag)).bytes.toString());
      for (const layer of layers) await readAll(await target.fetchBlob(layer), 1e6, "layer");
    }
    await pushImage(target, imageOf("next"), "next");
  }
});

test("what killed processes left behind goes; while others are at work, only what is old", async () => {
  const directory = place();
  await (await open(directory)).close();
  const leftovers = (): string[] => {
    mkdirSync(join(directory, ".tmp"), { recursive: true });
    const paths = ["old", "young"].map((name) => join(directory, ".tmp", name));
    for (const path of paths) writeFileSync(path, "x");
    utimesSync(paths[0] ?? "", new Date(0), new Date(0));
    return paths;
  };
  // Another writer, from the point of view of this process: it shares the lock of users of temporary files.
  const other = await LockFile.open(join(directory, ".stave-lock"), { create: true });
  assert.ok(other.tryLock("shared", { start: 1n, length: 1n }));
  for (const expected of [
    [false, true],
    [false, false],
  ]) {
    const paths = leftovers();
    const target = await open(directory);
    await pushImage(target, imageOf(1), "v1");
    await pushImage(target, imageOf(expected.length), "v2");
    await target.close();
    assert.deepEqual(
      paths.map((path) => existsSync(path)),
      expected,
    );
    rmSync(join(directory, "blobs"), { recursive: true });
    await other.close();
  }
});

const image = imageOf("bad");
const damage: {
  name: string;
  code: Parameters<typeof failsWith>[0];
  says: RegExp;
  make: (directory: string) => void;
  run?: (target: LayoutTarget) => Promise<unknown>;
}[] = [
  {
    name: "a file in its place",
    code: "FILE_SYSTEM",
    says: /is a file/,
    make: (d) => {
      rmSync(d, { recursive: true });
      writeFileSync(d, "");
    },
  },
  { name: "no oci-layout", code: "NOT_FOUND", says: /no oci-layout file/, make: (d) => rmSync(join(d, "oci-layout")) },
  {
    name: "an oci-layout of the future",
    code: "CONTENT_INVALID",
    says: /layout version "2\.0\.0"/,
    make: (d) => writeFileSync(join(d, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}'),
  },
  {
    name: "an oci-layout of 100 KB",
    code: "TOO_LARGE",
    says: /oci-layout has 100000 bytes/,
    make: (d) => writeFileSync(join(d, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}'.padEnd(100_000)),
  },
  {
    name: "a truncated index.json",
    code: "CONTENT_INVALID",
    says: /index\.json is not valid JSON/,
    make: (d) => writeFileSync(join(d, "index.json"), '{"schemaVersion":2,"manif'),
    run: (t) => t.fetchManifest("v1"),
  },
  {
    name: "an index.json of the wrong shape",
    code: "CONTENT_INVALID",
    says: /invalid at manifests\.0\.digest/,
    make: (d) =>
      writeFileSync(
        join(d, "index.json"),
        '{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"../../etc/passwd","size":1}]}',
      ),
    run: (t) => t.fetchManifest("v1"),
  },
  {
    name: "a manifest that lies",
    code: "DIGEST_MISMATCH",
    says: /has digest/,
    make: (d) => writeFileSync(blobPath(d, image.descriptor.digest), "{}"),
    run: (t) => t.fetchManifest("v1"),
  },
  {
    name: "a manifest that is gone",
    code: "NOT_FOUND",
    says: /has no blob/,
    make: (d) => rmSync(blobPath(d, image.descriptor.digest)),
    run: (t) => t.fetchManifest("v1"),
  },
  {
    name: "a link in place of a manifest",
    code: "CONTENT_INVALID",
    says: /is a link/,
    make: (d) => {
      rmSync(blobPath(d, image.descriptor.digest));
      symlinkSync("/etc/passwd", blobPath(d, image.descriptor.digest));
    },
    run: (t) => t.fetchManifest("v1"),
  },
];

for (const { name, code, says, make, run } of damage)
  test(`damage is named: ${name}`, async () => {
    const directory = place();
    await pushImage(await open(directory), image, "v1");
    make(directory);
    await failsWith(
      code,
      async () => {
        const target = await open(directory, false);
        await run?.(target);
      },
      says,
    );
  });

test("a foreign folder is not written into, and a damaged list is not written over", async () => {
  const foreign = place();
  mkdirSync(foreign);
  writeFileSync(join(foreign, "thesis.tex"), "years of work");
  await failsWith("USAGE", open(foreign), /not empty and not an image layout/);
  assert.deepEqual(readdirSync(foreign), ["thesis.tex"]);
  const directory = place();
  const target = await open(directory);
  writeFileSync(join(directory, "index.json"), "{ damaged");
  await failsWith("CONTENT_INVALID", pushImage(target, image, "v1"));
  assert.equal(readFileSync(join(directory, "index.json"), "utf8"), "{ damaged");
});

test("a source is closed when nothing can be written", async () => {
  const folder = place();
  const layout = await LayoutTarget.open(folder, { clock: systemClock, create: true });
  const { descriptor, bytes } = blobOf(Buffer.from("closed"));
  rmSync(join(folder, ".tmp"), { recursive: true, force: true });
  writeFileSync(join(folder, ".tmp"), "");
  const streams: Readable[] = [];
  const open = (): Readable => {
    const stream = Readable.from([bytes]);
    streams.push(stream);
    return stream;
  };
  await failsWith("FILE_SYSTEM", layout.pushBlob(descriptor, { size: bytes.length, open: async () => open() }));
  await failsWith("FILE_SYSTEM", layout.pushStream(open(), descriptor.mediaType));
  assert.deepEqual(
    streams.map(({ destroyed }) => destroyed),
    [true, true],
  );
  await layout.close();
});

test("bytes that are not those of the descriptor never get its name", async () => {
  const directory = place();
  const target = await open(directory);
  const [right, wrong] = [blobOf(someBytes(1000, 1)), blobOf(someBytes(1000, 2))];
  await failsWith("DIGEST_MISMATCH", target.pushBlob(right.descriptor, bytesSource(wrong.bytes)));
  await failsWith("SIZE_MISMATCH", target.pushBlob(right.descriptor, bytesSource(right.bytes.subarray(1))));
  await failsWith(
    "SIZE_MISMATCH",
    target.pushBlob(right.descriptor, bytesSource(Buffer.concat([right.bytes, right.bytes]))),
  );
  assert.ok(!existsSync(blobPath(directory, right.descriptor.digest)));
  assert.deepEqual(existsSync(join(directory, ".tmp")) ? readdirSync(join(directory, ".tmp")) : [], []);
});

test("a full disk: a clear error, and what was there is still there", async (t) => {
  const directory = place();
  mkdirSync(directory);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory]).status !== 0)
    return t.skip("cannot mount a small file system here (needs root)");
  try {
    const target = await open(directory);
    await pushImage(target, imageOf(1, [1000]), "v1");
    const big = blobOf(someBytes(3_000_000));
    const error = await failsWith(
      "FILE_SYSTEM",
      target.pushBlob(big.descriptor, bytesSource(big.bytes)),
      /no space left/i,
    );
    assert.match(error.hint ?? "", /disk is full/);
    assert.equal((await target.headManifest("v1"))?.digest, imageOf(1, [1000]).descriptor.digest);
    assert.deepEqual(readdirSync(join(directory, ".tmp")), []);
  } finally {
    spawnSync("umount", ["-l", directory]);
  }
});
