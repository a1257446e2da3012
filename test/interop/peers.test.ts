// Proves interoperability with real registries and clients, in both directions.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { hashSync } from "bcryptjs";
import { copyGraph } from "../../lib/copy.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { readAll } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeImage } from "../../scripts/make-image.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { blobOf, imageOf, pushImage, someBytes } from "../support/content.ts";
import { failsWith } from "../support/errors.ts";
import { containerTools, peerTest, run, startDistribution } from "../support/peers.ts";
import { startServe } from "../support/serve.ts";

// podman takes the path of a layout for a name, which must be in lower case.
const root = join(tmpdir(), `stave-interop-${process.pid}`);
mkdirSync(root);
const closing: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closing) await close();
  rmSync(root, { recursive: true, force: true });
});
let counter = 0;
const place = () => join(root, String(counter++));

const image = place();
const made = makeImage(image, { layers: 3, size: 3e6, tag: "app", seed: 1 });
const users = `me:${hashSync("s3cret", 4)}\n`;

/** stave's own registry over a directory, with TLS and users on request. */
async function serve(options: { directory?: string; tls?: boolean; users?: boolean } = {}) {
  const { directory = place(), tls } = options;
  const server = await startServe({ directory, tls, users: options.users ? users : undefined });
  closing.push(() => server.close());
  return server;
}

const open = (directory: string, create = false) => LayoutTarget.open(directory, { clock: systemClock, create });
const skopeo = (...args: string[]) => run("skopeo", ["--insecure-policy", ...args]);
const insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];

/** The bytes of every layer, to compare a peer's copy whatever it did to the manifest. */
async function layerDigests(directory: string, tag: string): Promise<string[]> {
  const target = await open(directory);
  const { bytes } = await target.fetchManifest(tag);
  return JSON.parse(bytes.toString()).layers.map((layer: { digest: string }) => layer.digest);
}

peerTest(["skopeo"], "skopeo: a directory that stave wrote, and one that skopeo wrote", async () => {
  const [ours, theirs, back] = [place(), place(), place()];
  await copyGraph(await open(image), await open(ours, true), "app", { tag: "one" });
  await copyGraph(await open(image), await open(ours, true), "app", { tag: "two" });
  await skopeo("copy", `oci:${ours}:two`, `oci:${theirs}:x`);
  await skopeo("copy", `oci:${ours}:one`, `oci:${theirs}:y`);
  assert.deepEqual((await Array.fromAsync((await open(theirs)).tags())).sort(), ["x", "y"]);
  await copyGraph(await open(theirs), await open(back, true), "x", { tag: "z" });
  assert.deepEqual(await layerDigests(back, "z"), await layerDigests(image, "app"));
  await skopeo("copy", `oci:${image}:app`, `oci:${ours}:three`);
  assert.deepEqual((await Array.fromAsync((await open(ours)).tags())).sort(), ["one", "three", "two"]);
});

peerTest(["skopeo"], "skopeo: push to and pull from a served directory, with and without TLS and a login", async () => {
  for (const options of [{}, { users: true }, { tls: true, users: true }]) {
    const server = await serve(options);
    const [there, back] = [`docker://${server.host}/org/app:v1`, place()];
    const creds = (side: string) => (options.users ? [`--${side}-creds`, "me:s3cret"] : []);
    await skopeo("copy", ...insecure, ...creds("dest"), `oci:${image}:app`, there);
    await skopeo("copy", ...insecure, ...creds("src"), there, `oci:${back}:v1`);
    assert.deepEqual(await layerDigests(back, "v1"), await layerDigests(image, "app"));
    if (options.users) await assert.rejects(skopeo("inspect", "--tls-verify=false", "--creds", "me:wrong", there));
    await server.close();
  }
});

peerTest(["skopeo"], "skopeo: sees why a registry does not take a layer, while it sends it", async () => {
  const big = place();
  makeImage(big, { layers: 2, size: 40e6, tag: "app", seed: 2 });
  const directory = place();
  mkdirSync(directory);
  // As on a full disk, files can grow to 4 MB only.
  const command = `ulimit -f 4000; trap '' XFSZ; exec "$0" "$@"`;
  const stavePath = new URL("../../dist/stave.js", import.meta.url).pathname;
  const args = ["-c", command, process.execPath, stavePath, "serve", directory, "--listen", "127.0.0.1:0"];
  const server = spawn("bash", args, {
    env: { PATH: process.env["PATH"], HOME: root, NODE_DISABLE_COMPILE_CACHE: "1" },
    stdio: ["ignore", "pipe", "ignore"],
  });
  closing.push(async () => void server.kill());
  let said = "";
  for await (const chunk of server.stdout) {
    said += String(chunk);
    if (/ as \S+/.test(said)) break;
  }
  const there = `docker://${/127\.0\.0\.1:[0-9]+/.exec(said)?.[0]}/org/app:v1`;
  for (let round = 0; round < 15; round++)
    await assert.rejects(skopeo("copy", ...insecure, `oci:${big}:app`, there), (error: Error) => {
      assert.doesNotMatch(error.message, /broken pipe|connection reset|EOF/i);
      assert.match(error.message, /HTTP status: 500/);
      return true;
    });
});

peerTest(["skopeo"], "skopeo: every tag of a served layout directory, its listing and a deletion", async () => {
  const directory = place();
  await copyGraph(await open(image), await open(directory, true), "app", { tag: "v1" });
  const server = await serve({ directory });
  const name = `${server.host}/${server.repository}`;
  const { Tags } = JSON.parse(await skopeo("list-tags", "--tls-verify=false", `docker://${name}`));
  assert.deepEqual(Tags, ["v1"]);
  assert.equal(JSON.parse(await skopeo("inspect", "--tls-verify=false", `docker://${name}:v1`)).Digest, made.digest);
  await skopeo("delete", "--tls-verify=false", `docker://${name}:v1`);
  await server.close();
  assert.equal(await (await open(directory)).headManifest("v1"), undefined);
});

peerTest(
  ["docker-registry", "skopeo"],
  "docker-registry: push, mount, pull, list, delete; skopeo finds the same",
  async () => {
    const registry = await startDistribution();
    try {
      const [a, b] = [connect(registry.host, "org/a"), connect(registry.host, "org/b")];
      await copyGraph(await open(image), a.target, "app", { tag: "v1" });
      const mounted = await copyGraph(a.target, b.target, "v1", { tag: "v1" });
      assert.equal(mounted.blobs.mounted, 4);
      const back = place();
      await copyGraph(b.target, await open(back, true), "v1", { tag: "v1" });
      assert.deepEqual(await layerDigests(back, "v1"), await layerDigests(image, "app"));
      const { Digest } = JSON.parse(
        await skopeo("inspect", "--tls-verify=false", `docker://${registry.host}/org/b:v1`),
      );
      assert.equal(Digest, made.digest);
      for (let at = 0; at < 25; at++) await pushImage(a.target, imageOf(at, [10]), `t${at}`);
      assert.equal((await Array.fromAsync(a.target.tags())).length, 26);
      await a.target.deleteManifest(made.digest);
      assert.equal(await a.target.headManifest("v1"), undefined);
      await failsWith(
        "UNSUPPORTED",
        a.target.pushManifest(imageOf(1).bytes, imageOf(1).descriptor.mediaType, {
          tag: "n",
          condition: { absent: true },
        }),
      ).catch(async () => assert.equal(await a.target.headManifest("n"), undefined));
      await Promise.all([a.close(), b.close()]);
    } finally {
      await registry.stop();
    }
  },
);

peerTest(["docker-registry"], "docker-registry: streams, chunks, empty blobs, referrers by tag", async () => {
  const registry = await startDistribution();
  try {
    const client = connect(registry.host, "org/a");
    const { target } = client;
    for (const size of [0, 1000, 8 * 1024 * 1024, 20_000_000]) {
      const bytes = someBytes(size, size);
      const { Readable } = await import("node:stream");
      const descriptor = await target.pushStream(Readable.from([bytes], { objectMode: false }), "x/y");
      assert.equal(descriptor.digest, blobOf(bytes).descriptor.digest);
      assert.ok((await readAll(await target.fetchBlob(descriptor), 1e8, "b")).equals(bytes));
    }
    const subject = await pushImage(target, imageOf("s"), "v1");
    const referrer = imageOf("r", [10], { subject, artifactType: "a/b" });
    await pushImage(target, referrer);
    assert.deepEqual(
      (await target.referrers(subject.digest)).map((entry) => entry.digest),
      [referrer.descriptor.digest],
    );
    await client.close();
  } finally {
    await registry.stop();
  }
});

peerTest(["docker-registry"], "docker-registry: a login by the command line, kept and used", async () => {
  const registry = await startDistribution(`me:${hashSync("s3cret", 4).replace("$2b$", "$2y$")}\n`);
  const env = { XDG_RUNTIME_DIR: place() };
  try {
    const refused = await stave(["copy", `oci-layout:${image}:app`, `${registry.host}/x/y:z`], { env });
    assert.equal(refused.status, 3, refused.stderr);
    const login = await stave(["login", registry.host, "-u", "me", "--password-stdin"], { env, input: "s3cret" });
    assert.equal(login.status, 0, login.stderr);
    const pushed = await stave(["copy", `oci-layout:${image}:app`, `${registry.host}/x/y:z`], { env });
    assert.equal(pushed.status, 0, pushed.stderr);
    assert.equal((await stave(["tags", `${registry.host}/x/y`], { env })).stdout, "z\n");
  } finally {
    await registry.stop();
  }
});

peerTest(["podman"], "podman: pulls from a served directory that stave filled, and from a layout", async () => {
  const { flags, env } = containerTools();
  const server = await serve();
  const client = connect(server.host, "org/app");
  await copyGraph(await open(image), client.target, "app", { tag: "v1" });
  const podman = (...args: string[]) => run("podman", [...flags, ...args], env);
  await podman("pull", "-q", "--tls-verify=false", `${server.host}/org/app:v1`);
  const [inspected] = JSON.parse(await podman("image", "inspect", `${server.host}/org/app:v1`));
  assert.equal(inspected.Digest, made.digest);
  assert.equal(inspected.RootFS.Layers.length, 3);
  await podman("push", "-q", "--tls-verify=false", `${server.host}/org/app:v1`, `docker://${server.host}/org/back:v2`);
  const back = connect(server.host, "org/back");
  assert.ok(await back.target.headManifest("v2"));
  const layout = place();
  await copyGraph(await open(image), await open(layout, true), "app", { tag: "l" });
  await podman("pull", "-q", `oci:${layout}:l`);
  await Promise.all([client.close(), back.close()]);
  await server.close();
});

peerTest(["buildah"], "buildah: builds on an image from stave's registry and pushes the result there", async () => {
  const { flags, env } = containerTools();
  const server = await serve();
  const client = connect(server.host, "org/base");
  await copyGraph(await open(image), client.target, "app", { tag: "v1" });
  const buildah = (...args: string[]) => run("buildah", [...flags, ...args], env);
  const container = (await buildah("from", "--pull-always", "--tls-verify=false", `${server.host}/org/base:v1`)).trim();
  const mounted = (await buildah("mount", container)).trim();
  assert.ok(statSync(join(mounted, "data/1000.bin")).size > 0);
  await buildah("config", "--label", "made=by-buildah", container);
  await buildah("commit", "-q", "--tls-verify=false", container, `docker://${server.host}/org/new:v1`);
  const { stdout, stderr } = await stave(["inspect", `${server.host}/org/new:v1`]);
  assert.match(stdout, /made: by-buildah/, stderr);
  await buildah("umount", container);
  await client.close();
  await server.close();
});

peerTest(["umoci"], "umoci: unpacks what stave wrote, and stave reads what umoci added", async () => {
  const [layout, bundle, back] = [place(), place(), place()];
  await copyGraph(await open(image), await open(layout, true), "app", { tag: "v1" });
  await run("umoci", ["unpack", "--rootless", "--image", `${layout}:v1`, bundle]);
  assert.ok(existsSync(join(bundle, "rootfs/data/1002.bin")));
  await run("umoci", ["config", "--image", `${layout}:v1`, "--tag", "v2", "--config.user", "nobody"]);
  await copyGraph(await open(layout), await open(back, true), "v2", { tag: "v2" });
  assert.deepEqual(await layerDigests(back, "v2"), await layerDigests(image, "app"));
});
