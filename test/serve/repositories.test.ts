// The directory behind the registry: links in it are not followed, and what a killed server left goes at the next
// start.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { digestOf } from "../../lib/oci/digest.ts";
import { LAYOUT_FILES } from "../../lib/target/layout/layout-folder.ts";
import { code, pushByHand, read, upload } from "../support/by-hand.ts";
import { startStave } from "../support/cli.ts";
import { imageOf, someBytes } from "../support/content.ts";
import { startRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const image = imageOf("linked", [5000]);
const blob = someBytes(1000, "more");

/** Every file of a tree with its content. */
function treeOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => `${path} ${digestOf(readFileSync(path))}`);
}

for (const where of ["the folder above", "the folder itself", ...LAYOUT_FILES])
  test(`a repository with a link in place of ${where} is neither read nor written`, async () => {
    const registry = await startRegistry();
    try {
      const name = "org/linked";
      const folder = join(registry.directory, name);
      assert.equal((await pushByHand(registry.url, name, image, "v1")).status, 201);
      // Everything is outside, complete, and reached by a link; files that exist only at times are created.
      const places: Record<string, string> = { "the folder above": dirname(folder), "the folder itself": folder };
      const place = places[where] ?? join(folder, where);
      const elsewhere = temporaryFolder();
      const outside = join(elsewhere, "outside");
      if (existsSync(place)) renameSync(place, outside);
      else mkdirSync(outside);
      mkdirSync(dirname(place), { recursive: true });
      symlinkSync(outside, place);
      const before = treeOf(elsewhere);
      for (const path of ["manifests/v1", `blobs/${digestOf(image.blobs[0]?.bytes ?? blob)}`, "tags/list"]) {
        const asked = await fetch(`${registry.url}/v2/${name}/${path}`);
        assert.deepEqual([asked.status, await code(asked)], [404, "NAME_UNKNOWN"], path);
      }
      const post = await fetch(`${registry.url}/v2/${name}/blobs/uploads/?digest=${digestOf(blob)}`, {
        method: "POST",
        body: Buffer.from(blob),
      });
      assert.deepEqual([post.status, await code(post)], [403, "DENIED"]);
      const put = await fetch(`${registry.url}/v2/${name}/manifests/v2`, {
        method: "PUT",
        headers: { "content-type": image.descriptor.mediaType },
        body: Buffer.from(image.bytes),
      });
      // Its blobs are not visible either.
      assert.deepEqual([put.status, await code(put)], [404, "MANIFEST_BLOB_UNKNOWN"]);
      assert.equal((await fetch(`${registry.url}/v2/${name}/manifests/v1`, { method: "DELETE" })).status, 404);
      assert.deepEqual(treeOf(elsewhere), before);
    } finally {
      await registry.close();
    }
  });

test("the served directory itself may be reached by a link", async () => {
  const directory = temporaryFolder();
  const link = join(temporaryFolder(), "link");
  symlinkSync(directory, link);
  const registry = await startRegistry({ directory: link });
  assert.equal((await pushByHand(registry.url, "a/b", image, "v1")).status, 201);
  assert.equal((await fetch(`${registry.url}/v2/a/b/manifests/v1`)).status, 200);
  await registry.close();
  assert.ok(existsSync(join(directory, "a/b/oci-layout")));
});

const started: ChildProcess[] = [];
after(() => {
  for (const child of started) child.kill("SIGKILL");
});

/** Runs `stave serve` in a separate process; returns its address. */
async function serve(directory: string): Promise<{ url: string; child: ChildProcess }> {
  const child = startStave(["serve", directory, "--listen", "127.0.0.1:0", "--color", "never"]);
  started.push(child);
  let said = "";
  child.stderr?.resume();
  for await (const chunk of child.stdout ?? []) {
    said += String(chunk);
    const found = / as (?:oci\+http:\/\/)?(127\.0\.0\.1:[0-9]+)/.exec(said);
    if (found) return { url: `http://${found[1]}`, child };
  }
  throw new Error(`stave serve did not start: ${said}`);
}

const unfinished = (directory: string, name: string): string[] => {
  const folder = join(directory, name, ".tmp");
  return existsSync(folder) ? readdirSync(folder) : [];
};

test("a server that is killed in the middle of uploads leaves nothing for long, and loses nothing", async () => {
  const directory = temporaryFolder();
  const names = ["one", "two/deep"];
  const first = await serve(directory);
  for (const name of names) assert.equal((await pushByHand(first.url, name, image, "v1")).status, 201);
  // Uploads of each kind, none of them complete: opened, with an acknowledged chunk, and with a chunk being sent.
  for (const name of names) {
    const open = async (): Promise<string> =>
      (await fetch(`${first.url}/v2/${name}/blobs/uploads/`, { method: "POST" })).headers.get("location") ?? "";
    await open();
    const answered = await fetch(first.url + (await open()), { method: "PATCH", body: Buffer.from(blob) });
    assert.equal(answered.status, 202);
    const path = await open();
    const sending = httpRequest(first.url + path, { method: "PATCH", headers: { "content-length": 10_000_000 } });
    sending.on("error", () => {});
    sending.write(someBytes(1_000_000, "half"));
    while ((await fetch(first.url + path)).headers.get("range") === "0-0") await sleep(10);
  }
  const closed = once(first.child, "close");
  first.child.kill("SIGKILL");
  await closed;
  for (const name of names) assert.ok(unfinished(directory, name).length >= 2, `${name} has unfinished uploads`);
  const second = await serve(directory);
  for (const name of names) assert.deepEqual(unfinished(directory, name), [], name);
  for (const name of names) {
    assert.equal((await fetch(`${second.url}/v2/${name}/manifests/v1`)).status, 200);
    for (const { bytes } of image.blobs) assert.ok((await read(second.url, name, bytes)).equals(bytes));
    assert.equal((await upload(second.url, name, blob)).status, 201);
  }
  second.child.kill("SIGTERM");
  await once(second.child, "close");
});

test("names, tags, digests and upload identifiers that lead out make nothing outside the served directory", async () => {
  const registry = await startRegistry({ directory: join(temporaryFolder(), "served") });
  try {
    assert.equal((await pushByHand(registry.url, "r", image, "v1")).status, 201);
    const above = dirname(registry.directory);
    mkdirSync(join(above, "canary"));
    const before = treeOf(above);
    const put = { method: "PUT", headers: { "content-type": image.descriptor.mediaType }, body: image.bytes };
    const post = { method: "POST", headers: {}, body: Buffer.from(blob) };
    const names = ["x".repeat(300), "a%00b", "a%0ab", "A", "-a", "a//b", "blobs", "r/blobs", "index.json", ".r"];
    for (const name of [...names, "..%2fcanary", "%2e%2e%2fcanary", "r%2f..%2f..%2fcanary"])
      for (const [given, path] of [
        [put, `/v2/${name}/manifests/v1`],
        [put, `/v2/r/${name}/manifests/v1`],
        [post, `/v2/${name}/blobs/uploads/?digest=${digestOf(blob)}`],
      ] as const) {
        const status = await statusOf(registry.host, path, given);
        assert.ok(status >= 400 && status < 500, `${given.method} ${path}: ${status}`);
      }
    assert.deepEqual(treeOf(above), before);
    // A server first normalises a path with dots, which may then be a valid one.
    for (const odd of ["..", ".", "../canary", "%2e%2e/canary", "..%2fcanary", "a/../../canary"])
      for (const [given, path] of [
        [put, `/v2/${odd}/manifests/v1`],
        [put, `/v2/r/manifests/${odd}`],
        [put, `/v2/r/manifests/${image.descriptor.digest}?tag=${odd}`],
        [post, `/v2/${odd}/blobs/uploads/?digest=${digestOf(blob)}`],
        [post, `/v2/r/blobs/uploads/?digest=sha256:${odd}`],
        [post, `/v2/r/blobs/uploads/?mount=${odd}&from=${odd}`],
        [{ ...put, method: "PATCH" }, `/v2/r/blobs/uploads/${odd}`],
        [{ ...put, method: "DELETE" }, `/v2/r/manifests/${odd}`],
        [{ ...put, method: "DELETE" }, `/v2/r/blobs/sha256:${odd}`],
        [{ ...put, method: "GET" }, `/v2/r/blobs/sha256:${odd}`],
      ] as const)
        assert.ok((await statusOf(registry.host, path, given)) < 500, `${given.method} ${path}`);
    assert.deepEqual(readdirSync(above).toSorted(), ["canary", "served"]);
    assert.deepEqual(readdirSync(join(above, "canary")), []);
  } finally {
    await registry.close();
  }
});

// The path as written: `fetch` would normalise dots.
async function statusOf(
  host: string,
  path: string,
  { method, headers, body }: { method: string; headers: Record<string, string>; body: Uint8Array },
): Promise<number> {
  const request = httpRequest({ host: host.split(":")[0], port: host.split(":")[1], path, method, headers });
  request.end(method === "GET" || method === "DELETE" ? undefined : body);
  const [response] = await once(request, "response");
  response.resume();
  await once(response, "end");
  return response.statusCode;
}
