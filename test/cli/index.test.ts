// Proves that `stave index` works for users.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { madeSpec, pushGolden, pushSpec } from "../support/caches.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { imageOf, pushImage } from "../support/content.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
before(async () => {
  registry = await startRegistry();
});
after(() => registry.close());

test("index: up to date, after a push, after a deletion; --check asks only, and answers with its status", async () => {
  const client = connect(registry.host, "org/cache");
  await pushGolden("spack-1.2/plain.oci", client.target);
  const cache = `oci+http://${registry.host}/org/cache`;
  const same = await stave(["index", cache]);
  assert.deepEqual([same.status, same.stdout], [0, "up to date: 8 specs, 10 records, 8.5 kB\n"]);
  const tag = await pushSpec(client.target, madeSpec("new", "1.0"));
  const check = await stave(["index", "--check", cache]);
  assert.equal(check.status, 1, check.stderr);
  assert.match(check.stdout, new RegExp(`^not in the index: ${tag}\nnot up to date: `));
  assert.ok(check.stderr.includes(`update it with \`stave index ${cache}\``), check.stderr);
  assert.equal(registry.count("PUT", /index\.spack/), 1, "only what the test itself put");
  const added = await stave(["update-index", cache, "--json"]);
  const { report } = JSON.parse(added.stdout);
  assert.deepEqual([report.isWritten, report.added, report.kept, report.specs], [true, [tag], 8, 9]);
  await client.target.deleteManifest(tag);
  const dropped = await stave(["rebuild-index", cache]);
  assert.match(dropped.stdout, new RegExp(`^- ${tag}\nwritten: 8 specs`));
  assert.equal((await stave(["index", "--check", "--full", cache])).status, 0);
  await client.close();
});

test("index: of many changes, 20 are named, and all with --verbose", async () => {
  const client = connect(registry.host, "org/many");
  for (let at = 0; at < 25; at++) await pushSpec(client.target, madeSpec(`p${at}`, "1.0"));
  const cache = `oci+http://${registry.host}/org/many`;
  const named = (text: string): number => text.split("\n").filter((line) => / p\d+-1\.0-/.test(line)).length;
  const all = await stave(["index", "--check", "--verbose", cache]);
  assert.equal(named(all.stdout), 25);
  const some = await stave(["index", cache]);
  assert.equal(named(some.stdout), 20);
  assert.match(some.stdout, /^\+ \.\.\. and 5 more \(-v names all\)\nwritten: 25 specs/m);
  await client.close();
});

test("index: what is no spec is told and passed over", async () => {
  const client = connect(registry.host, "org/mixed");
  await pushSpec(client.target, madeSpec("good", "1.0"));
  await pushSpec(client.target, madeSpec("odd", "1.0"), { tag: "something.spack" });
  const ran = await stave(["index", `oci+http://${registry.host}/org/mixed`]);
  assert.equal(ran.status, 0);
  assert.match(ran.stdout, /written: 1 spec, 1 record/);
  assert.match(ran.stderr, /warning: skipped something\.spack: its name is not NAME-VERSION-HASH\.spack/);
  assert.doesNotMatch(ran.stderr, /without a spec/);
  await client.close();
});

test("index: tags of other things are named, a few of them or all", async () => {
  const client = connect(registry.host, "org/others");
  await pushSpec(client.target, madeSpec("good", "1.0"));
  const tags = ["app-1", "latest", "sha256-0123.sig", "x-1", "x-2", "x-3"];
  for (const tag of tags) await pushImage(client.target, imageOf(tag, [10]), tag);
  const cache = `oci+http://${registry.host}/org/others`;
  const ran = await stave(["index", cache, "--json"]);
  assert.deepEqual(JSON.parse(ran.stdout).report.others, tags);
  assert.match(
    ran.stderr,
    /^skipped 6 tags without a spec: app-1, latest, sha256-0123\.sig, x-1, x-2, and 1 more \(-v names all\)$/m,
  );
  assert.match((await stave(["index", "--check", "-v", cache])).stderr, /: app-1, latest, .*, x-3$/m);
  await client.close();
});

test("index: a cache that is not there", async () => {
  const ran = await stave(["index", `oci+http://${registry.host}/org/none`]);
  assert.equal(ran.status, 5, ran.stderr);
  const folder = await stave(["index", "oci-layout:/nonexistent/cache"]);
  assert.deepEqual([folder.status, /there is no directory/.test(folder.stderr)], [5, true]);
});
