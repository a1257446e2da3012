// Proves that every location the command prints can be typed back to it, even over plain http on this machine.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { pushGolden } from "../support/caches.ts";
import { startStave, stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { imageOf, pushImage } from "../support/content.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const { sysroot } = await goldenStore();
const STORE = ["--sysroot", sysroot, "--store", "/opt/harbor/store"];
const env = { XDG_CACHE_HOME: temporaryFolder() };
let registry: TestRegistry;
before(async () => {
  registry = await startRegistry();
  const client = connect(registry.host, "org/cache");
  await pushGolden("spack-1.2/plain.oci", client.target);
  await client.close();
  // A colon in the last part of a path is not the one before a tag.
  mkdirSync(join(work, "a:b"));
  await pushGolden(
    "spack-1.2/plain.oci",
    await LayoutTarget.open(join(work, "a:b"), { clock: systemClock, create: true }),
  );
});
after(() => registry.close());

const run = (args: string[]): ReturnType<typeof stave> => stave(args, { cwd: work, env });
const HOST = /127\.0\.0\.1:\d+\//.source;
const PRINTED = new RegExp(`(?:oci(?:\\+http)?://${HOST}|${HOST}|oci-layout:)[^\\s"'\`,;)]*[^\\s"'\`,;:.)]`, "g");

test("what verbs print of places is understood by verbs", async () => {
  const places = [`oci://${registry.host}/org/cache`, `oci+http://${registry.host}/org/cache`, "oci-layout:a:b/"];
  const printed = new Map<string, string>();
  for (const place of places) {
    const to = place.replace(/cache$/, "copy").replace("a:b/", "copy:");
    const tag = "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack";
    const image = `${place}:${tag}`;
    const verbs = [
      ["push", place, ...STORE, "fleet", "--tag", "app"],
      ["copy", image, to.endsWith(":") ? `${to}t` : to],
      ["inspect", image, "--json"],
      ["tags", place, "--json"],
      ["list", place, "-a", "--json"],
      ["check", "-m", place, ...STORE, "hull"],
      ["index", place, "--json"],
      ["diff", image, place, "--json"],
      ["install", place, "hull", "--plan", "--otherarch", "--store", join(work, "s")],
      ["inspect", `${place}:nothing`],
      ["list", `${place}:tag`],
    ];
    // The first one changes the cache.
    const [push, ...readers] = verbs;
    const ran = [await run(push ?? [])];
    ran.push(...(await Promise.all((place.startsWith("oci+http") ? readers.slice(0, 4) : readers).map(run))));
    for (const [at, { stdout, stderr }] of ran.entries()) {
      const args = verbs[at] ?? [];
      const found = `${stdout}${stderr}`.match(PRINTED) ?? [];
      assert.ok(found.length > 0 || args[0] === "index", `${args.join(" ")} prints no place: ${stdout}${stderr}`);
      for (const location of found) if (!/:(?:nothing|tag)$/.test(location)) printed.set(location, args.join(" "));
    }
  }
  assert.ok(printed.size >= 12, [...printed.keys()].join("\n"));
  const type = async ([location, by]: [string, string]): Promise<void> => {
    const isImage = /@sha256:|:[^/:]+$/.test(location.replace(/^oci-layout:|127\.0\.0\.1:\d+/g, ""));
    const ran = await run([isImage ? "inspect" : "tags", location]);
    assert.equal(ran.status, 0, `${location}, printed by ${by}: ${ran.stderr}`);
  };
  await Promise.all([...printed].map(type));
});

test("serve takes a location, and prints one that can be typed", async () => {
  const served = startStave(["serve", "oci-layout:a:b/", "--listen", "0.0.0.0:0"], { cwd: work, env });
  let text = "";
  for await (const chunk of served.stdout ?? []) {
    text += chunk;
    if (text.includes("\n")) break;
  }
  const location = / as (\S+)/.exec(text)?.[1] ?? "";
  assert.match(location, /^localhost:\d+\/a/);
  const ran = await run(["tags", location]);
  served.kill("SIGINT");
  assert.equal(ran.status, 0, ran.stderr);
  const refused = await run(["serve", "oci://localhost:5000/x"]);
  assert.deepEqual([refused.status, /is not a directory/.test(refused.stderr)], [2, true], refused.stderr);
});

test("a path is a directory to every verb", async () => {
  for (const args of [
    ["tags", "./a:b/"],
    ["inspect", `${join(work, "a:b")}:hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack`],
    ["list", "./a:b/", "-a", "hull"],
    ["check", "-m", `${join(work, "a:b")}/`, ...STORE, "hull"],
    ["diff", "./a:b/", `oci-layout:${golden("spack-1.2/plain.oci")}`],
    ["copy", "./a:b/:hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack", "oci:skopeo:hull"],
    ["tags", "oci:skopeo"],
  ]) {
    const ran = await run(args);
    assert.equal(ran.status, 0, `${args.join(" ")}: ${ran.stderr}`);
  }
  for (const args of [
    ["list", "oci-archive:a.tar"],
    ["install", "docker-archive:a.tar", "hull", "--store", join(work, "s")],
    ["inspect", "docker-archive:a.tar"],
  ]) {
    const ran = await run(args);
    assert.equal(ran.status, 6, ran.stderr);
    assert.match(ran.stderr, /-archive:" cannot be read or written[\s\S]*skopeo copy/);
  }
});

test("--platform is asked of a single image too", async () => {
  const layout = await LayoutTarget.open(join(work, "arm"), { clock: systemClock, create: true });
  await pushImage(layout, imageOf("arm", [10], {}, "arm64"), "app");
  for (const args of [
    ["inspect", "./arm:app"],
    ["copy", "./arm:app", "./other:app"],
  ]) {
    const other = await run([...args, "--platform", "linux/amd64"]);
    assert.equal(other.status, 7, other.stderr);
    assert.match(other.stderr, /oci-layout:\.\/arm:app is for linux\/arm64, expected linux\/amd64/);
    const same = await run([...args, "--platform", "linux/arm64"]);
    assert.equal(same.status, 0, same.stderr);
  }
  const based = await run(["push", "./based", ...STORE, "hull", "--base-image", "./arm:app"]);
  assert.equal(based.status, 7, based.stderr);
  assert.match(based.stderr, /is for linux\/arm64, expected linux\/amd64/);
});
