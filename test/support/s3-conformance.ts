// The tests that mirrors in buckets must pass with every S3 server, the one of these tests and those of others.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { checkIndex, updateIndex } from "../../lib/cache/index-update.ts";
import { MirrorCache } from "../../lib/cache/mirror/mirror-cache.ts";
import { createTransport } from "../../lib/http/transport.ts";
import type { Transport } from "../../lib/http/types.ts";
import { sendParts } from "../../lib/objects/s3/multipart.ts";
import { S3Client } from "../../lib/objects/s3/s3-client.ts";
import { S3Objects } from "../../lib/objects/s3/s3-objects.ts";
import type { S3Dialect, S3Place } from "../../lib/objects/s3/s3-settings.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { check } from "../../lib/ops/cache/check.ts";
import { sync } from "../../lib/ops/sync/sync.ts";
import { mapLimit } from "../../lib/util/limit.ts";
import { bytesSource, readAll } from "../../lib/util/stream.ts";
import { systemClock as clock } from "../../lib/util/time.ts";
import { stave } from "./cli.ts";
import { failsWith } from "./errors.ts";
import { golden } from "./golden.ts";
import { sharedMirror } from "./index-writer.ts";
import { goldenMirror, mirrorAt } from "./mirrors.ts";
import { S3_ENV, S3_PAIR } from "./s3-server.ts";
import { temporaryFolder } from "./tree.ts";

/** A server with the empty bucket `cache`. */
export interface S3UnderTest {
  readonly url: string;
  close(): Promise<void>;
}

/** What differs between servers. */
export interface S3TestOptions {
  readonly start: () => Promise<S3UnderTest>;
  readonly dialect: S3Dialect;
  /** The reason to skip all tests. */
  readonly skip?: string | false;
  /** The least size of a part; default: any. */
  readonly leastPart?: number;
  /** How many keys make more than one page. */
  readonly manyKeys: number;
  /** Also run the command, and processes that compete; the server must speak S3. */
  readonly hasCommands?: boolean;
}

const WRITERS = 8;
const program = resolve(import.meta.dirname, "index-writer.ts");

/** Defines the tests for one server. */
export function testS3(name: string, options: S3TestOptions): void {
  const { dialect, leastPart = 5000, manyKeys, hasCommands = false, skip = false } = options;
  const how = { skip, timeout: 240_000 };
  let server: S3UnderTest;
  let transport: Transport;
  let prefixes = 0;
  if (skip === false) {
    before(async () => {
      server = await options.start();
      transport = createTransport({ clock });
    });
    after(async () => {
      await transport.close();
      await server.close();
    });
  }
  const place = (prefix: string): S3Place => ({
    ...{ dialect, bucket: "cache", prefix, endpoint: new URL(server.url), region: "us-east-1" },
    credentials: { pair: S3_PAIR, token: undefined, from: "the test" },
  });
  const at = (prefix: string): S3Objects =>
    new S3Objects({ place: place(prefix), name: `s3://cache/${prefix}`, transport, clock, scratch: temporaryFolder() });
  const fresh = (): string => `${name.replaceAll(" ", "-")}/${++prefixes}+x`;
  const put = (to: S3Objects, key: string, text: string): Promise<void> =>
    to.write(key, bytesSource(Buffer.from(text)), digestOf(text));
  const cacheAt = (prefix: string): MirrorCache =>
    new MirrorCache({ objects: at(prefix), signatures: undefined, isWritten: true });
  const moving = { jobs: 4, now: Date.now() };

  test(`${name}: objects with odd names are stored, found, listed, read in whole and removed`, how, async () => {
    const to = at(fresh());
    const odd = ["a+b", "c d", "é%25", "x/y(1)!'*", "z&<z>", "1", "2"].map((each) => `blobs/${each}`);
    for (const key of [...odd, "blobs2/other"]) await put(to, key, `text of ${key}`);
    const listed = await Array.fromAsync(to.list("blobs/"));
    assert.deepEqual(listed.map(({ key }) => key).sort(), [...odd].sort());
    assert.ok(listed.every(({ size, modified }) => (size ?? 0) > 0 && (modified ?? 0) > 1e12));
    for (const key of odd) {
      assert.equal((await to.read(key, 100))?.bytes.toString(), `text of ${key}`);
      assert.equal((await to.look(key))?.size, Buffer.byteLength(`text of ${key}`));
    }
    await to.remove("blobs/1");
    assert.deepEqual([await to.look("blobs/1"), await to.read("blobs/1", 9)], [undefined, undefined]);
    await failsWith("TOO_LARGE", to.read("blobs/2", 3));
    const text = "text of blobs/2";
    const expected = { digest: digestOf(text), size: text.length };
    assert.equal((await readAll(await to.open("blobs/2", expected), 99, "x")).toString(), text);
    await failsWith("NOT_FOUND", to.open("blobs/none", expected));
    const wrong = await to.open("blobs/2", { ...expected, digest: digestOf("other") });
    await failsWith("DIGEST_MISMATCH", readAll(wrong, 99, "x"));
  });

  test(`${name}: a list has as many pages as it needs`, how, async () => {
    const to = at(fresh());
    const keys = Array.from({ length: manyKeys }, (_, each) => `blobs/${String(each).padStart(5, "0")}`);
    await mapLimit(keys, 16, (key) => put(to, key, key));
    assert.deepEqual(
      (await Array.fromAsync(to.list("blobs/"))).map(({ key }) => key),
      keys,
    );
  });

  test(`${name}: what was read is read again only if it has changed`, how, async () => {
    const to = at(fresh());
    const read = async (known?: string) => {
      const found = await to.openLatest("a", 100, { known });
      if (found === undefined || found === "same") return found;
      return { text: (await readAll(found.stream, 100, "a")).toString(), token: found.token };
    };
    assert.equal(await read(), undefined);
    await put(to, "a", "one");
    const first = await read();
    assert.ok(typeof first === "object" && first.text === "one" && first.token !== undefined);
    assert.equal(await read(first.token), "same");
    await put(to, "a", "two");
    const second = await read(first.token);
    assert.ok(typeof second === "object" && second.text === "two");
  });

  test(`${name}: streams of unknown length are stored under their digest`, how, async () => {
    const to = at(fresh());
    const text = "x".repeat(300_000);
    const store = () => to.writeStream(Readable.from([Buffer.from(text)]), (digest) => `blobs/${digest.slice(7)}`);
    const [first, second] = [await store(), await store()];
    assert.deepEqual([first, second], Array(2).fill({ digest: digestOf(text), size: text.length }));
    assert.equal((await to.look(`blobs/${digestOf(text).slice(7)}`))?.size, text.length);
  });

  test(`${name}: a large object is sent in parts`, how, async () => {
    const prefix = fresh();
    const client = new S3Client(place(""), transport, clock);
    const bytes = Buffer.alloc(2 * leastPart + 17, "stave");
    const middle = Math.floor(1.5 * leastPart);
    const open = (): Readable => Readable.from([bytes.subarray(0, middle), bytes.subarray(middle)]);
    let sent = 0;
    const upload = { source: { size: bytes.length, open }, partSize: leastPart, what: "store it", signal: undefined };
    await sendParts(client, { key: `${prefix}/large`, ...upload, onBytes: (count) => (sent += count) });
    assert.equal(sent, bytes.length);
    const opened = await at(prefix).open("large", { digest: digestOf(bytes), size: bytes.length });
    for await (const _ of opened);
  });

  test(`${name}: an index is replaced only if it has not changed, and of writers at once one wins`, how, async () => {
    const prefix = fresh();
    const [one, two] = [at(prefix), at(prefix)];
    assert.equal(await one.replace("index", Buffer.from("1"), undefined), true);
    await failsWith("CONFLICT", two.replace("index", Buffer.from("2"), undefined));
    const token = (await two.read("index", 9))?.token;
    assert.equal(await two.replace("index", Buffer.from("2"), token), true);
    await failsWith("CONFLICT", one.replace("index", Buffer.from("3"), token));
    assert.equal((await one.read("index", 9))?.bytes.toString(), "2");
    const race = await Promise.allSettled(
      Array.from({ length: WRITERS }, (_, each) => at(prefix).replace("new", Buffer.from(String(each)), undefined)),
    );
    assert.equal(race.filter(({ status }) => status === "fulfilled").length, 1);
  });

  test(`${name}: a bucket that is not there is no empty cache`, how, async () => {
    const none = new S3Objects({
      ...{ place: { ...place("x"), bucket: "no-such-bucket" }, name: "s3://no-such-bucket/x", transport, clock },
      scratch: temporaryFolder(),
    });
    const error = await failsWith("NOT_FOUND", none.read("v3/layout.json", 100), /NoSuchBucket/);
    assert.match(error.hint ?? "", /bucket/);
    await failsWith("NOT_FOUND", Array.fromAsync(none.list("v3/")));
    await failsWith("NOT_FOUND", put(none, "a", "1"));
  });

  test(`${name}: a mirror comes whole, and the server itself copies it into another bucket folder`, how, async () => {
    const from = mirrorAt(await goldenMirror(3));
    const [first, second] = [fresh(), fresh()];
    const sent = await sync(from, cacheAt(first), moving);
    assert.deepEqual([sent.failures, sent.index?.specs, sent.keys.length], [[], 8, 1]);
    const copied = await sync(cacheAt(first), cacheAt(second), moving);
    assert.deepEqual([copied.failures, copied.sentBytes, copied.keys.length], [[], 0, 1]);
    assert.deepEqual(new Set(copied.specs.map(({ outcome }) => outcome)), new Set(["linked"]));
    assert.deepEqual(await cacheAt(second).keys(), await from.keys());
    const { checked, broken } = await check(cacheAt(second), { depth: "bytes" });
    assert.deepEqual([checked, broken], [8, []]);
    assert.equal((await updateIndex(cacheAt(second))).isWritten, false);
  });

  if (hasCommands) {
    test(`${name}: sync, list, check, install, prune and index of the command`, how, async () => {
      const bucket = `s3://cache/${fresh()}`;
      const folder = temporaryFolder();
      const env = { ...S3_ENV, S3_ENDPOINT_URL: server.url, HOME: folder, SPACK_ROOT: "", SPACK_ENV: "" };
      const run = async (...args: string[]): Promise<string> => {
        const { status, stdout, stderr } = await stave([...args, "--no-env"], { cwd: folder, env });
        assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
        return stdout;
      };
      await run("sync", `oci-layout:${golden("spack-1.2/plain.oci")}`, bucket, "-u");
      assert.equal(JSON.parse(await run("list", bucket, "-a", "--json")).report.specs.length, 8);
      assert.match(await run("check", "-m", bucket, "--all", "--bytes"), /^8 of 8 specs in /);
      const store = ["-o", "--store", temporaryFolder()];
      assert.match(await run("install", "-u", bucket, "rigging", ...store), /spec installed|specs installed/);
      await run("sync", `oci-layout:${golden("spack-1.2/plain.oci")}`, bucket, "-u", "rigging", "--delete");
      await run("prune", bucket, "--grace", "0s", "--yes");
      assert.match(await run("check", "-m", bucket, "--all", "--bytes"), /^1 of 1 spec in /);
      assert.match(await run("index", bucket, "--check"), /^up to date: /);
    });

    test(`${name}: ${WRITERS} processes that update one index lose nothing`, how, async () => {
      const children = Array.from({ length: WRITERS }, (_, writer) =>
        fork(program, [server.url, String(writer), String(WRITERS), "1"], { execArgv: ["--import", "tsx"] }),
      );
      const ended = children.map((child) => once(child, "exit"));
      const done = children.map((child, each) => Promise.race([once(child, "message"), ended[each]]));
      for (const child of children) child.send("go");
      await Promise.all(done);
      const { cache, close } = sharedMirror(server.url);
      const { isCurrent, specs, problems } = await checkIndex(cache, { full: true });
      await close();
      assert.deepEqual([isCurrent, specs, problems], [true, WRITERS, []]);
      assert.deepEqual(
        (await Promise.all(ended)).map(([code]) => code),
        Array(WRITERS).fill(0),
      );
    });
  }
}
