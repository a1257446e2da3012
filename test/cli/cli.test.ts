// Proves that the command works for users: help, errors, JSON, and the verbs for images and registries.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { startStave, stave } from "../support/cli.ts";
import { imageOf, indexOf, pushImage } from "../support/content.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

const root = mkdtempSync(join(tmpdir(), "stave-cli-"));
const source = join(root, "images");
let registry: TestRegistry;

before(async () => {
  registry = await startRegistry();
  const layout = await LayoutTarget.open(source, { clock: systemClock, create: true });
  const [amd, arm] = [imageOf("a", [2000, 100_000]), imageOf("b", [2000], {}, "arm64")];
  await pushImage(layout, amd, "app");
  await pushImage(layout, arm);
  const index = indexOf([
    { image: amd, architecture: "amd64" },
    { image: arm, architecture: "arm64" },
  ]);
  await layout.pushManifest(index.bytes, index.descriptor.mediaType, { tag: "multi" });
});

after(async () => {
  await registry.close();
  rmSync(root, { recursive: true, force: true });
});

const at = (tag: string) => `oci-layout:${source}:${tag}`;

test("version, help, and no verb at all", async () => {
  assert.match((await stave(["--version"])).stdout, /^stave [0-9]+\.[0-9]+\.[0-9]+\n$/);
  for (const args of [["--help"], ["help"], ["copy", "--help"], ["help", "copy"]]) {
    const { status, stdout } = await stave(args);
    assert.equal(status, 0, args.join(" "));
    assert.match(stdout, /Usage: stave/);
  }
  const none = await stave([]);
  assert.deepEqual([none.status, none.stdout], [2, ""]);
  assert.match(none.stderr, /copy/);
});

const NODES: { version: string; isSupported: boolean }[] = [
  { version: "20.19.0", isSupported: false },
  { version: "22.1.0", isSupported: false },
  { version: "22.22.1", isSupported: false },
  { version: "22.22.2", isSupported: true },
  { version: "22.23.0", isSupported: true },
  { version: "23.11.0", isSupported: false },
  { version: "24.14.1", isSupported: false },
  { version: "24.15.0", isSupported: true },
  { version: "26.0.0-nightly20260101", isSupported: true },
];
test("a Node outside the supported range is refused before anything else, with the versions that will do", async () => {
  const { engines } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  assert.equal(engines.node, "^22.22.2 || >=24.15");
  const hint = `  hint: export PATH=${fileURLToPath(new URL("../../node_modules/.bin", import.meta.url))}:$PATH\n`;
  for (const { version, isSupported } of NODES) {
    const pretend = `Object.defineProperty(process.versions,"node",{value:"${version}"})`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretend)}` };
    const { status, stdout, stderr } = await stave(["--version"], { env });
    if (isSupported) assert.deepEqual([status, stderr], [0, ""], version);
    else
      assert.deepEqual(
        [status, stdout, stderr],
        [2, "", `error: stave needs Node 22.22.2 or later, or 24.15 or later, and this is ${version} [USAGE]\n${hint}`],
      );
  }
});

test("every verb's help has examples, and a line in the overview", async () => {
  const { stdout } = await stave(["--help"]);
  const verbs = [...stdout.matchAll(/^ {2}([a-z][a-z-]*)(?:, [a-z, -]+)? {2,}/gm)]
    .map((found) => found[1] ?? "")
    .filter((name) => name !== "help");
  assert.ok(verbs.length >= 6);
  for (const verb of verbs) {
    const help = await stave([verb, "--help"]);
    assert.equal(help.status, 0, verb);
    assert.match(help.stdout, /Examples:\n {2}\S*stave|Examples:\n {2}echo/, verb);
  }
});

test("help in a pipe is as wide as $COLUMNS, and never wider than 100", async () => {
  for (const [COLUMNS, most] of [
    ["40", 40],
    ["60", 60],
    ["200", 100],
    ["0", 100],
    ["wide", 100],
  ] as const)
    for (const [args, heading] of [
      [["--help"], "Registries"],
      [["list", "--help"], "Options"],
    ] as const) {
      const { stdout } = await stave([...args], { env: { COLUMNS } });
      const [, part = ""] = new RegExp(`^${heading}:\n([\\s\\S]*?)\n\n`, "m").exec(stdout) ?? [];
      const widest = Math.max(...part.split("\n").map((line) => line.length));
      assert.ok(widest <= most && widest > most - 25, `${COLUMNS}: ${widest}\n${part}`);
    }
});

const mistakes: { args: string[]; status: number; says: RegExp; env?: Record<string, string> }[] = [
  { args: ["cpy"], status: 2, says: /unknown command 'cpy'[\s\S]*copy/ },
  { args: ["copy"], status: 2, says: /missing required argument 'src'/ },
  { args: ["copy", "a", "b", "c"], status: 2, says: /too many arguments/ },
  { args: ["copy", "--platfrom", "x", "a", "b"], status: 2, says: /--platform/ },
  { args: ["copy", "Bad Name", "b"], status: 2, says: /invalid image reference "Bad Name"/ },
  { args: ["copy", "ftp://x/y", "b"], status: 2, says: /unknown URL scheme/ },
  { args: ["copy", "-j", "many", "a", "b"], status: 2, says: /whole number/ },
  { args: ["copy", "--platform", "linux", at("app"), "oci-layout:/tmp/x"], status: 2, says: /OS\/ARCH/ },
  {
    args: ["copy", at("app"), `oci-layout:/tmp/x@sha256:${"a".repeat(64)}`],
    status: 2,
    says: /destination of a copy cannot have a digest/,
  },
  { args: ["copy", "--all-tags", at("app"), "oci-layout:/tmp/x"], status: 2, says: /leave the tag out/ },
  {
    args: ["copy", at("nope"), "oci-layout:/tmp/stave-never"],
    status: 5,
    says: /has no manifest nope[\s\S]*hint: list the tags/,
  },
  {
    args: ["copy", "oci-layout:/nonexistent:x", "oci-layout:/tmp/stave-never"],
    status: 5,
    says: /there is no directory \/nonexistent/,
  },
  { args: ["copy", at("app"), "oci-layout:/etc/passwd"], status: 10, says: /is a file/ },
  { args: ["copy", at("app"), "oci-layout:/etc"], status: 2, says: /not empty and not an image layout/ },
  { args: ["tags", at("app")], status: 2, says: /expected a repository/ },
  { args: ["inspect", `oci-layout:${source}`], status: 2, says: /has 2 tags; choose one/ },
  { args: ["inspect", "--platform", "linux/s390x", at("multi")], status: 7, says: /it has linux\/amd64, linux\/arm64/ },
  { args: ["copy", "--cert", "x", at("app"), "localhost:1/x:y"], status: 2, says: /go together/ },
  { args: ["copy", "--retries", "0", at("app"), "127.0.0.1:1/x:y"], status: 4, says: /refused the connection/ },
  { args: ["login", "ghcr.io/org/repo"], status: 2, says: /expected a registry/ },
  { args: ["login", "ghcr.io"], status: 2, says: /--password-stdin/ },
  { args: ["logout", "ghcr.io"], status: 5, says: /not logged in/ },
  { args: ["serve", source, "--listen", "nonsense"], status: 2, says: /expected HOST:PORT/ },
  { args: ["serve", source, "--tls-cert", "x"], status: 2, says: /go together/ },
  {
    args: ["serve", source, "--listen", "127.0.0.1:0", "--htpasswd", "/etc/passwd"],
    status: 2,
    says: /line 1 is not USER:BCRYPT-HASH/,
  },
];

for (const { args, status, says } of mistakes)
  test(`a mistake: stave ${args.join(" ").replace(root, "…")}`, async () => {
    const ran = await stave(args);
    assert.match(ran.stderr, says);
    assert.equal(ran.status, status, ran.stderr);
    assert.equal(ran.stdout, "");
    assert.ok(!/\n\s+at /.test(ran.stderr), "no stack");
  });

test("copy, tags and inspect, in text and in one JSON document", async () => {
  const to = `${registry.host}/fleet/app:v1`;
  const copied = await stave(["copy", at("app"), to]);
  assert.equal(copied.status, 0, copied.stderr);
  assert.match(
    copied.stdout,
    /^oci:\/\/127\.0\.0\.1:[0-9]+\/fleet\/app:v1 sha256:[0-9a-f]{64}\n1 manifest and 3 blobs copied/,
  );
  assert.match(copied.stderr, /copied blob/);
  const again = await stave(["copy", at("app"), to, "--json"]);
  const document = JSON.parse(again.stdout);
  assert.deepEqual([document.schema, document.verb, document.report.bytes, again.stderr], [1, "copy", 0, ""]);
  assert.equal((await stave(["tags", `${registry.host}/fleet/app`])).stdout, "v1\n");
  assert.deepEqual(JSON.parse((await stave(["tags", `oci-layout:${source}`, "--json"])).stdout).report.tags, [
    "app",
    "multi",
  ]);
  const shown = (await stave(["inspect", to])).stdout;
  for (const text of ["kind         image", "platform     linux/amd64", "sha256:"])
    assert.ok(shown.includes(text), shown);
  const report = JSON.parse((await stave(["inspect", at("multi"), "--json"])).stdout).report;
  assert.deepEqual([report.kind, report.manifests.length], ["index", 2]);
  const arm = await stave(["inspect", at("multi"), "--platform", "linux/arm64"]);
  assert.match(arm.stdout, /linux\/arm64/);
});

test("an image that Spack pushed is shown with its spec", async () => {
  const golden = new URL("../../testdata/golden/spack-1.2/plain.oci", import.meta.url).pathname;
  const { stdout } = await stave(["tags", `oci-layout:${golden}`]);
  const tag = stdout.split("\n").find((name) => name.startsWith("voyage-"));
  const shown = await stave(["inspect", `oci-layout:${golden}:${tag}`]);
  assert.match(shown.stdout, /spec +voyage@0\.4\.2 linux-/);
  const index = await stave(["inspect", `oci-layout:${golden}:index.spack`]);
  assert.match(index.stdout, /kind +artifact/);
});

test("a failure is one JSON document too", async () => {
  const { status, stdout } = await stave(["inspect", at("nope"), "--json"]);
  const { error } = JSON.parse(stdout);
  assert.deepEqual([status, error.code], [5, "NOT_FOUND"]);
});

test("login, logout, and what the credentials are good for", async () => {
  const guarded = await startRegistry({ login: { kind: "bearer", username: "me", password: "s3cret" } });
  const env = { XDG_RUNTIME_DIR: join(root, "run") };
  try {
    const refused = await stave(["copy", at("app"), `${guarded.host}/a:b`], { env });
    assert.equal(refused.status, 3);
    assert.match(refused.stderr, new RegExp(`stave login ${guarded.host}`));
    const wrong = await stave(["login", guarded.host, "-u", "me", "--password-stdin"], { env, input: "nope\n" });
    assert.equal(wrong.status, 3, wrong.stderr);
    assert.ok(!existsSync(join(root, "run/containers/auth.json")), "what is wrong is not kept");
    const planned = ["login", guarded.host, "-u", "me", "--password-stdin", "--dry-run"];
    assert.equal((await stave(planned, { env, input: "nope\n" })).status, 3);
    const tried = await stave(planned, { env, input: "s3cret\n" });
    assert.match(tried.stdout, /would be kept in .*run\/containers\/auth\.json/);
    assert.ok(!existsSync(join(root, "run/containers/auth.json")), "a dry run keeps nothing");
    const right = await stave(["login", guarded.host, "-u", "me", "--password-stdin"], { env, input: "s3cret\n" });
    assert.equal(right.status, 0, right.stderr);
    assert.equal(statSync(join(root, "run/containers/auth.json")).mode & 0o777, 0o600);
    const trace = join(root, "trace.jsonl");
    const copied = await stave(["copy", at("app"), `${guarded.host}/a:b`, "--trace", trace], { env });
    assert.equal(copied.status, 0, copied.stderr);
    const said = readFileSync(trace, "utf8") + copied.stderr + copied.stdout;
    for (const secret of ["s3cret", Buffer.from("me:s3cret").toString("base64"), "token-"])
      assert.ok(!said.includes(secret), secret);
    const flag = await stave(["login", guarded.host, "-u", "me", "-p", "s3cret"], { env });
    assert.match(flag.stderr, /can be seen by other users/);
    const left = await stave(["logout", guarded.host, "--plan"], { env });
    assert.match(left.stdout, /would be removed from .*auth\.json/);
    assert.equal((await stave(["tags", `${guarded.host}/a`], { env })).status, 0);
    assert.equal((await stave(["logout", guarded.host], { env })).status, 0);
    assert.equal((await stave(["tags", `${guarded.host}/a`], { env })).status, 3);
  } finally {
    await guarded.close();
  }
});

test("serve: says where, serves, ends cleanly at Ctrl-C", async () => {
  const server = startStave(["serve", source, "--listen", "127.0.0.1:0"]);
  const [line] = await once(server.stdout ?? process.stdin, "data");
  const host = /as (127\.0\.0\.1:[0-9]+)\/images/.exec(String(line))?.[1];
  assert.ok(host, String(line));
  assert.equal((await stave(["tags", `${host}/images`])).stdout, "app\nmulti\n");
  const out = join(root, "out");
  assert.equal((await stave(["copy", `${host}/images:multi`, `oci-layout:${out}:x`])).status, 0);
  const elsewhere = await stave(["copy", at("app"), `${host}/debian:12`]);
  assert.equal(elsewhere.status, 5, elsewhere.stderr);
  assert.match(
    elsewhere.stderr,
    /the registry says: .*only the directory of images is served; serve its parent folder/,
  );
  server.kill("SIGINT");
  const [status] = await once(server, "exit");
  assert.equal(status, 0);
});

test("Ctrl-C in a copy: status 130, nothing under the tag, and the next run goes on", async () => {
  const slow = await startRegistry({ rules: [{ method: "PUT", path: /uploads/, times: 1, fault: { delay: 20_000 } }] });
  try {
    const child = startStave(["copy", at("app"), `${slow.host}/a:b`]);
    let stderr = "";
    child.stderr?.on("data", (chunk) => {
      stderr += chunk;
    });
    while (slow.count("PUT", /uploads/) === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGINT");
    const [status] = await once(child, "close");
    assert.equal(status, 130, stderr);
    assert.match(stderr, /interrupted[\s\S]*run the same command again/);
    assert.equal(slow.count("PUT", /manifests/), 0);
    assert.equal((await stave(["copy", at("app"), `${slow.host}/a:b`])).status, 0);
  } finally {
    await slow.close();
  }
});

test("a reader that goes away is no failure", async () => {
  const child = startStave(["tags", `oci-layout:${source}`]);
  child.stdout?.destroy();
  const [status] = await once(child, "exit");
  assert.equal(status, 0);
});

test("a trace that cannot be written, a damaged CA file", async () => {
  const trace = await stave(["tags", `${registry.host}/x`, "--trace", "/nonexistent/dir/t"]);
  assert.equal(trace.status, 5);
  writeFileSync(join(root, "bad.pem"), "nonsense");
  const bad = await stave(["tags", `${registry.host}/x`, "--cacert", join(root, "bad.pem")]);
  assert.match(bad.stderr, /is not a PEM file/);
  assert.equal(bad.status, 2);
});
