// Proves that mirrors in buckets work with moto, an S3 server that others wrote: keys, pages, conditions, parts and
// copies.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { test } from "node:test";
import { MirrorCache } from "../../lib/cache/mirror/mirror-cache.ts";
import { createTransport } from "../../lib/http/transport.ts";
import { sendParts } from "../../lib/objects/s3/multipart.ts";
import { S3Client } from "../../lib/objects/s3/s3-client.ts";
import { S3Objects } from "../../lib/objects/s3/s3-objects.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { check } from "../../lib/ops/cache/check.ts";
import { sync } from "../../lib/ops/sync/sync.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { systemClock as clock } from "../../lib/util/time.ts";
import { freePort, untilUp } from "../../scripts/bench/server.ts";
import { MOTO_INSTALL } from "../../scripts/moto.ts";
import { findProgram } from "../../scripts/peers.ts";
import { failsWith } from "../support/errors.ts";
import { goldenMirror, mirrorAt } from "../support/mirrors.ts";
import { S3_PAIR } from "../support/s3-server.ts";
import { temporaryFolder } from "../support/tree.ts";

const moto = process.env["STAVE_MOTO"] ?? findProgram("moto_server");
const reason =
  process.env["STAVE_MOTO_REASON"] ??
  `moto is missing: put moto_server on the PATH or name it in $STAVE_MOTO (${MOTO_INSTALL})`;

test("mirrors in buckets of moto", { skip: moto === undefined ? reason : false, timeout: 240_000 }, async () => {
  const port = await freePort();
  const child = spawn(moto ?? "", ["-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
  const transport = createTransport({ clock });
  try {
    await untilUp(port);
    const place = (prefix: string) => ({
      dialect: "s3" as const,
      ...{ bucket: "cache", prefix, endpoint: new URL(`http://127.0.0.1:${port}`) },
      ...{ region: "us-east-1", credentials: { pair: S3_PAIR, token: undefined, from: "the test" } },
    });
    const client = new S3Client(place(""), transport, clock);
    assert.equal((await fetch(`http://127.0.0.1:${port}/cache`, { method: "PUT" })).status, 200);
    const objects = (prefix: string): S3Objects =>
      new S3Objects({
        place: place(prefix),
        name: `s3://cache/${prefix}`,
        transport,
        clock,
        scratch: temporaryFolder(),
      });
    const put = (to: S3Objects, key: string, text: string): Promise<void> =>
      to.write(key, bytesSource(Buffer.from(text)), digestOf(text));

    const odd = objects("odd");
    const keys = ["blobs/a+b", "blobs/c d", "blobs/é%25", "blobs/x/y(1)!'*", "blobs/z&<z>"];
    for (const key of keys) await put(odd, key, `text of ${key}`);
    await put(odd, "blobs2/other", "x");
    assert.deepEqual((await Array.fromAsync(odd.list("blobs/"))).map(({ key }) => key).sort(), [...keys].sort());
    for (const key of keys) assert.equal((await odd.read(key, 100))?.bytes.toString(), `text of ${key}`);
    await odd.remove("blobs/a+b");
    assert.deepEqual([await odd.look("blobs/a+b"), await odd.read("blobs/a+b", 9)], [undefined, undefined]);
    const latest = await odd.openLatest("blobs/c d", 100);
    assert.ok(latest !== undefined && latest !== "same" && latest.token !== undefined);
    for await (const _ of latest.stream);
    assert.equal(await odd.openLatest("blobs/c d", 100, { known: latest.token }), "same");

    const [one, two] = [objects("index"), objects("index")];
    assert.equal(await one.replace("index", Buffer.from("1"), undefined), true);
    await failsWith("CONFLICT", two.replace("index", Buffer.from("2"), undefined));
    const token = (await two.read("index", 9))?.token;
    assert.equal(await two.replace("index", Buffer.from("2"), token), true);
    await failsWith("CONFLICT", one.replace("index", Buffer.from("3"), token));

    const partSize = 5 * 1024 * 1024;
    const large = Buffer.alloc(2 * partSize + 17, "stave");
    const source = { size: large.length, open: () => Readable.from([large.subarray(0, 9e6), large.subarray(9e6)]) };
    await sendParts(client, { key: "odd/large", source, partSize, what: "store it", signal: undefined });
    const opened = await odd.open("large", { digest: digestOf(large), size: large.length });
    for await (const _ of opened);

    const cache = (prefix: string): MirrorCache =>
      new MirrorCache({ objects: objects(prefix), signatures: undefined, isWritten: true });
    const options = { jobs: 4, now: Date.now() };
    assert.equal((await sync(mirrorAt(await goldenMirror(3)), cache("team"), options)).index?.specs, 8);
    const copied = await sync(cache("team"), cache("other"), options);
    assert.deepEqual([copied.failures, copied.sentBytes, copied.keys.length], [[], 0, 1]);
    const report = await check(cache("other"), { depth: "bytes" });
    assert.deepEqual([report.checked, report.broken], [8, []]);
  } finally {
    await transport.close();
    child.kill("SIGKILL");
  }
});
