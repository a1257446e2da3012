// Proves the verbs of registry users: tag, delete, digest, manifest, blob, referrers, attach, and their aliases.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { digestOf } from "../../lib/oci/digest.ts";
import { startStave, stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { imageOf, pushImage } from "../support/content.ts";
import { peerTest, startDistribution } from "../support/peers.ts";
import { startRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const env = { HOME: work, SPACK_ROOT: "" };
const registry = await startRegistry();
after(() => registry.close());
const repo = `${registry.host}/org/app`;
const image = imageOf("app");
const client = connect(registry.host, "org/app");
after(() => client.close());
await pushImage(client.target, image, "1");
const { digest } = image.descriptor;

/** Runs stave; it must end with the status. Returns both outputs together. */
async function run(args: string[], status = 0): Promise<string> {
  const ran = await stave(args, { cwd: work, env });
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}

test("digest", async () => {
  assert.equal(await run(["digest", `${repo}:1`]), `${digest}\n`);
  assert.match(await run(["digest", `${repo}:nope`], 5), /NOT_FOUND/);
});

test("tag sets and moves tags, also in a dry run without effect", async () => {
  assert.match(await run(["tag", `${repo}:1`, "1.0", "latest", "--plan"]), /^1\.0: sha256:\w+ \(dry run; new\)/);
  assert.match(await run(["digest", `${repo}:latest`], 5), /NOT_FOUND/);
  assert.match(await run(["tag", `${repo}:1`, "1.0", "latest"]), /latest: sha256:\w+ \(new\)/);
  assert.equal(await run(["digest", `${repo}:latest`]), `${digest}\n`);
  const other = imageOf("other");
  await pushImage(client.target, other, "2");
  assert.match(await run(["tag", `${repo}:2`, "latest"]), new RegExp(`moved from ${digest}`));
  assert.match(await run(["tag", `${repo}:2`, "latest"]), /unchanged/);
  assert.match(await run(["tag", `${repo}:2`, "a/b:c"], 2), /expected a tag, not a whole name/);
  assert.match(await run(["tag", `${repo}:2`, "zlib-1.3-abc.spack"], 2), /name for a spec/);
  assert.match(await run(["tag", `${repo}:2`, "-x"], 2), /USAGE/);
});

test("manifest gives the exact bytes", async () => {
  const { stdout } = await stave(["manifest", `${repo}:1`], { cwd: work, env });
  assert.equal(digestOf(Buffer.from(stdout)), digest);
  await run(["manifest", `${repo}:1`, "-o", "manifest.json"]);
  assert.equal(digestOf(readFileSync(join(work, "manifest.json"))), digest);
  const { report } = JSON.parse((await stave(["manifest", `${repo}:1`, "--json"], { cwd: work, env })).stdout);
  assert.equal(report.manifest.layers.length, 2);
});

test("blob gives a verified blob, by the start of its digest", async () => {
  const [, layer] = image.blobs;
  assert.ok(layer);
  const start = layer.descriptor.digest.slice(0, 20);
  await run(["blob", `${repo}:1`, start, "-o", "layer"]);
  assert.deepEqual(readFileSync(join(work, "layer")), layer.bytes);
  await run(["blob", `${repo}:1`, start.slice(7), "-o", "short"]);
  assert.match(await run(["blob", `${repo}:1`, "sha256:", "-o", "x"], 2), /several blobs/);
  assert.match(await run(["blob", `${repo}:1`, "sha256:zz", "-o", "x"], 5), /no blob/);
  assert.match(await run(["blob", `${repo}:1`, start, "--json"], 2), /needs a pipe/);
  registry.rules.push({ path: /blobs\/sha256/, method: "GET", fault: "wrong content" });
  assert.match(await run(["blob", `${repo}:1`, start, "-o", "wrong"], 5), /DIGEST_MISMATCH/);
  registry.rules.length = 0;
  assert.deepEqual(
    readdirSync(work).filter((name) => /wrong|^x|tmp/.test(name)),
    [],
  );
});

test("-o of a FIFO, a device or /dev/stdout writes to it and leaves it there", async () => {
  const folder = temporaryFolder();
  const [fifo, device, file] = [join(folder, "fifo"), join(folder, "null"), join(folder, "file")];
  execFileSync("mkfifo", [fifo]);
  symlinkSync("/dev/null", device);
  const config = image.blobs[0]?.descriptor.digest ?? "";
  for (const args of [
    ["manifest", `${repo}:1`],
    ["blob", `${repo}:1`, config],
    ["export", `${repo}:1`],
  ]) {
    const [verb = ""] = args;
    await run([...args, "-o", file]);
    const whole = readFileSync(file);
    assert.ok(whole.length > 0);
    const reader = spawn("cat", ["--", fifo], { stdio: ["ignore", "pipe", "inherit"] });
    const [said] = await Promise.all([buffer(reader.stdout), run([...args, "-o", fifo])]);
    assert.deepEqual(said, whole, `${verb} to a FIFO`);
    assert.ok(lstatSync(fifo).isFIFO(), verb);
    await run([...args, "-o", device]);
    assert.ok(lstatSync(device).isSymbolicLink(), verb);
    const { status, stdout } = await stave([...args, "-o", "/dev/stdout"], { cwd: work, env });
    assert.equal(status, 0, verb);
    assert.equal(stdout, whole.toString(), verb);
    // A descriptor of a file: what is there already stays.
    const log = join(folder, `${verb}.log`);
    writeFileSync(log, "before");
    const script = `exec "$0" "$@" -o /dev/fd/3 3>>"${log}"`;
    const command = [process.execPath, resolve("dist/stave.js"), ...args];
    // The registry is in this process, so it must not wait for the command.
    await promisify(execFile)("bash", ["-c", script, ...command], { cwd: work, env: { ...process.env, ...env } });
    assert.deepEqual(readFileSync(log), Buffer.concat([Buffer.from("before"), whole]), verb);
  }
  // Without a reader, a signal ends it.
  const waiting = startStave(["manifest", `${repo}:1`, "-o", fifo], { cwd: work, env });
  const ended = once(waiting, "exit");
  const answered = registry.requests.length;
  while (registry.requests.length === answered) await setTimeout(20);
  await setTimeout(300);
  waiting.kill("SIGINT");
  await ended;
  assert.deepEqual(readdirSync(folder).toSorted(), ["blob.log", "export.log", "fifo", "file", "manifest.log", "null"]);
});

test("attach and referrers", async () => {
  writeFileSync(join(work, "report.json"), "{}\n");
  assert.match(await run(["referrers", `${repo}:1`]), /nothing refers/);
  const type = "application/vnd.example.report";
  const args = ["attach", `${repo}:1`, "report.json:application/json", "--artifact-type", type, "--annotation", "a=b"];
  const said = await run(args);
  assert.match(said, new RegExp(`sha256:\\w+ refers to ${digest}`));
  assert.equal(await run(args), said, "the same files give the same artifact");
  assert.match(await run(["referrers", `${repo}:1`]), new RegExp(type.replaceAll(".", "\\.")));
  assert.match(await run(["referrers", `${repo}:1`, "--artifact-type", "x/y"]), /nothing refers/);
  const { report } = JSON.parse((await stave(["referrers", `${repo}:1`, "--json"], { cwd: work, env })).stdout);
  const fetched = await client.target.fetchManifest(report.referrers[0].digest);
  const manifest = JSON.parse(fetched.bytes.toString());
  assert.deepEqual(manifest.annotations, { a: "b" });
  assert.deepEqual(manifest.layers[0].annotations, { "org.opencontainers.image.title": "report.json" });
  const refused = (file: string, status: number): Promise<string> =>
    run(["attach", `${repo}:1`, file, "--artifact-type", type], status);
  assert.match(await refused("nowhere", 5), /check the path/);
  assert.match(await refused(".", 10), /not a regular file/);
  assert.match(await refused("report.json:what/ever now", 2), /not a media type/);
  assert.match(await run(["attach", `${repo}:1`, "report.json", "--artifact-type", "nothing"], 2), /not a media type/);
});

test("delete asks, tells what stays, and removes a tag or a manifest", async () => {
  assert.match(await run(["delete", `${repo}:latest`], 2), /confirmation/);
  assert.match(await run(["delete", `${repo}:latest`, "--dry-run"]), /would delete the tag latest/);
  await run(["digest", `${repo}:latest`]);
  await run(["rm", `${repo}:latest`, `${repo}:1.0`, "--yes"]);
  assert.match(await run(["digest", `${repo}:latest`], 5), /NOT_FOUND/);
  assert.equal(await run(["digest", `${repo}:1`]), `${digest}\n`);
  assert.match(
    await run(["delete", `${repo}@${digest}`, "--plan"]),
    /all its tags; 1 manifest that refers to it stays/,
  );
  await run(["delete", `${repo}@${digest}`, "-y"]);
  assert.match(await run(["digest", `${repo}:1`], 5), /NOT_FOUND/);
  assert.match(await run(["delete", repo, "-y"], 2), /names a repository/);
  assert.match(await run(["delete", `${repo}:2`, `${registry.host}/other:2`, "-y"], 2), /one repository/);
  assert.match(await run(["delete", `${repo}:nope`, "-y"], 5), /does not exist/);
});

test("aliases, and directories instead of registries", async () => {
  mkdirSync(join(work, "layouts"));
  await run(["cp", `${repo}:2`, "oci-layout:./layouts/a:2"]);
  await run(["tag", "oci-layout:./layouts/a:2", "b"]);
  assert.match(await run(["ls", "oci-layout:./layouts/a"]), /^2\nb\n/);
  await run(["delete", "oci-layout:./layouts/a:2", "-y"]);
  assert.equal(await run(["tags", "oci-layout:./layouts/a"]), "b\n");
  assert.match(await run(["manifest", "oci-layout:./layouts/a:b"]), /"layers"/);
});

peerTest(["docker-registry"], "a registry that deletes no tags says so, with what to type", async () => {
  const peer = await startDistribution();
  try {
    const name = `oci+http://${peer.host}/a`;
    await run(["copy", `${repo}:2`, `${name}:2`]);
    const said = await run(["delete", `${name}:2`, "--yes"], 6);
    assert.match(said, /does not delete tags, only whole manifests/);
    assert.match(said, /stave delete .*a@sha256:/);
    await run(["delete", `${name}@${imageOf("other").descriptor.digest}`, "--yes"]);
    assert.match(await run(["digest", `${name}:2`], 5), /NOT_FOUND/);
  } finally {
    await peer.stop();
  }
});

test("ls of a host lists its repositories, page by page, and --match chooses", async () => {
  const listing = await startRegistry();
  try {
    assert.equal(await run(["ls", listing.host]), "");
    for (const name of ["org/app", "org/base", "other"]) {
      const one = connect(listing.host, name);
      await pushImage(one.target, imageOf(name), "1");
      await one.close();
    }
    assert.equal(await run(["ls", listing.host]), "org/app\norg/base\nother\n");
    assert.equal(await run(["tags", `oci+http://${listing.host}/`, "--match", "org/*"]), "org/app\norg/base\n");
    const { report } = JSON.parse(await run(["ls", listing.host, "--json"]));
    assert.deepEqual(report.repositories, ["org/app", "org/base", "other"]);
    const next = { link: `</v2/_catalog?n=1&last=org/base>; rel="next"` };
    listing.rules.push({ path: /_catalog/, times: 1, fault: { headers: next } });
    assert.ok((await run(["ls", listing.host])).endsWith("other\nother\n"));
    assert.ok(listing.requests.at(-1)?.url.includes("last=org/base"));
  } finally {
    await listing.close();
  }
});

test("a registry that lists no repositories, or hostile ones", async () => {
  const listing = await startRegistry();
  try {
    listing.rules.push({ path: /_catalog/, fault: { status: 404 } });
    const none = await run(["ls", listing.host], 6);
    assert.match(none, /does not list its repositories[\s\S]*name one: .*\/REPOSITORY/);
    listing.rules.splice(0, 1, { path: /_catalog/, fault: { status: 200, body: '{"repositories":["../../etc"]}' } });
    assert.match(await run(["ls", listing.host], 5), /lists an invalid repository/);
  } finally {
    await listing.close();
  }
});

test("the list of repositories is asked for with a right of its own", async () => {
  const login = { kind: "bearer", username: "me", password: "pw" } as const;
  const listing = await startRegistry({ login });
  try {
    const given = { STAVE_REGISTRY: listing.host, STAVE_USERNAME: "me", STAVE_PASSWORD: "pw" };
    await stave(["ls", listing.host, "--retries", "0"], { cwd: work, env: { ...env, ...given } });
    assert.ok(listing.tokens.some(({ url, body }) => decodeURIComponent(url + body).includes("registry:catalog:*")));
  } finally {
    await listing.close();
  }
});

test("--match chooses among the tags that are listed or copied", async () => {
  const many = connect(registry.host, "org/many");
  for (const tag of ["app-1", "app-2", "base"]) await pushImage(many.target, imageOf(tag), tag);
  await many.close();
  const place = `${registry.host}/org/many`;
  assert.equal(await run(["tags", place, "--match", "app-*"]), "app-1\napp-2\n");
  await run(["pull", "--all-tags", "--match", "*-2", place, "oci-layout:./some"]);
  assert.equal(await run(["tags", "oci-layout:./some"]), "app-2\n");
  assert.match(await run(["copy", "--all-tags", "--match", "x*", place, "oci-layout:./some"], 5), /has no tag x\*/);
  assert.match(await run(["copy", "--match", "x*", `${place}:base`, "oci-layout:./some"], 2), /add --all-tags/);
});

peerTest(["docker-registry"], "ls of a host works with docker's registry", async () => {
  const server = await startDistribution();
  try {
    await run(["copy", `${registry.host}/org/many:base`, `${server.host}/org/app:1`]);
    assert.equal(await run(["ls", server.host]), "org/app\n");
  } finally {
    await server.stop();
  }
});
