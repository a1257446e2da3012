// Proves that the action installs only what has the checksum it knows, logs in without showing the token, pushes, tells
// digests to the runner, and leaves no login behind. The runner is this test: its files and variables.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { actionRelease, writeRelease } from "../scripts/release.ts";
import { type ActionStep, actionStep } from "./support/action-step.ts";
import { golden } from "./support/golden.ts";
import { goldenStore } from "./support/push.ts";
import { startRegistry } from "./support/registry.ts";
import { temporaryFolder } from "./support/tree.ts";

const root = new URL("..", import.meta.url).pathname;
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const work = temporaryFolder();
const TOKEN = "t0ken-of-the-job";

// The program of the release is the built command.
const program = join(work, "program");
writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${join(root, "dist/stave.js")}' "$@"\n`, {
  mode: 0o755,
});
writeFileSync(join(work, "package.tgz"), "a package");
const made = join(work, "release");
writeRelease(made, {
  executables: (["x64", "arm64"] as const).map((architecture) => ({
    ...{ architecture, path: program, packages: [], licenses: "" },
  })),
  npmPackage: join(work, "package.tgz"),
  nodeLicense: "",
  date: 0,
});
// The action as it is in the commit of that release.
const action = join(work, "action");
cpSync(join(root, "action"), action, { recursive: true });
writeFileSync(join(action, "release.json"), actionRelease(made));

let damage = false;
const server = createServer(({ url = "" }, response) => {
  const path = join(made, url.split("/").at(-1) ?? "");
  if (!existsSync(path)) return void response.writeHead(404).end();
  const bytes = Buffer.from(readFileSync(path));
  if (damage) bytes[99] = (bytes[99] ?? 0) ^ 1;
  response.end(bytes);
});
await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v${version}`;
const registry = await startRegistry({ login: { kind: "bearer", username: "actor", password: TOKEN } });
after(async () => {
  server.close();
  await registry.close();
});
const { sysroot } = await goldenStore();
const environment = join(work, "env");
mkdirSync(environment);
for (const name of ["spack.yaml", "spack.lock"]) cpSync(golden(`spack-1.2/${name}`), join(environment, name));

/** Runs a file of the action as it is in the commit of that release, or of another one. */
const step = (
  file: "main.mjs" | "post.mjs",
  inputs: Record<string, string>,
  env: Record<string, string> = {},
  from = action,
): Promise<ActionStep> => actionStep({ action: from, file, inputs, env });

const PUSH = {
  ...{ url, environment, "base-image": "", sign: "auto", username: "actor", token: TOKEN },
  tags: "app\nlatest",
  arguments: `--sysroot\n${sysroot}\n--store\n/opt/harbor/store`,
};

test("pushes an environment, and tells digests; the token is shown nowhere, and the login is removed", async () => {
  const cache = `oci+http://${registry.host}/org/cache`;
  const job = await step("main.mjs", { ...PUSH, cache });
  assert.equal(job.status, 0, job.log);
  assert.match(job.set["digest"] ?? "", /^sha256:[0-9a-f]{64}$/);
  assert.equal(job.set["reference"], `${registry.host}/org/cache@${job.set["digest"]}`);
  assert.deepEqual(Object.keys(JSON.parse(job.set["images"] ?? "")), ["app", "latest"]);
  assert.equal(job.set["pushed"], "8");
  assert.match(job.path, new RegExp(`stave-${version}-linux-`));
  assert.match(job.log, /^::notice::.*can only be pulled after a login$/m);
  // The runner hides what is masked; everything else must be without it.
  const shown = job.log.replace(`::add-mask::${TOKEN}\n`, "");
  assert.doesNotMatch(shown + JSON.stringify(job.set), new RegExp(TOKEN));
  const file = job.set["REGISTRY_AUTH_FILE"] ?? "";
  assert.ok(existsSync(file));
  const states = { STATE_folder: job.set["folder"] ?? "", RUNNER_TEMP: job.temporary };
  assert.equal((await step("post.mjs", {}, states)).status, 0);
  assert.ok(!existsSync(file));
  assert.deepEqual(readdirSync(job.temporary), []);
});

test("only installs without a cache", async () => {
  const job = await step("main.mjs", { url });
  assert.equal(job.status, 0, job.log);
  assert.ok(existsSync(join(job.path.trim(), "stave")));
});

test("a failed push fails the step, with its outputs", async () => {
  const job = await step("main.mjs", { ...PUSH, cache: `oci+http://${registry.host}/org/x`, environment: "/nowhere" });
  assert.notEqual(job.status, 0);
  assert.match(job.log, /::error::/);
});

// A program that records the logins and reports a push.
const logins = join(work, "logins");
const recorder = join(work, "recorder");
const HOSTILE_TAG = " ::error::a ##[add-mask]b";
const RECORDED = { report: { images: [{ tag: HOSTILE_TAG, manifest: "sha256:0" }] } };
writeFileSync(
  recorder,
  `#!/bin/sh
case $1 in
  login) echo "$2 $(cat)" >>'${logins}'; echo >>"$REGISTRY_AUTH_FILE" ;;
  push) echo '${JSON.stringify(RECORDED)}' ;;
esac
`,
  { mode: 0o755 },
);
const RECORD = { ...PUSH, executable: recorder, token: "", "github-token": "of-github" };

const LOGINS: { cache: string; token?: string; login: string }[] = [
  { cache: "oci://ghcr.io/org/cache", login: "ghcr.io of-github\n" },
  { cache: "ghcr.io/org/cache", login: "ghcr.io of-github\n" },
  { cache: "ghcr.io/org/cache", token: "own", login: "ghcr.io own\n" },
  { cache: "oci://registry.example/org/cache", login: "" },
  { cache: "oci://ghcr.io.example/org/cache", login: "" },
  { cache: "oci://ghcr.io:8443/org/cache", login: "" },
  { cache: "oci://ghcr.io@registry.example/org/cache", login: "" },
  { cache: "oci+http://registry.example/ghcr.io/org/cache", login: "" },
  { cache: "oci+http://127.0.0.1:5000/org/cache", login: "" },
  { cache: "registry.example/org/cache", token: "own", login: "registry.example own\n" },
  { cache: "oci+http://[::1]:5000/org/cache", token: "own", login: "oci+http://[::1]:5000 own\n" },
  { cache: "oci-layout:./cache", login: "" },
];
for (const { cache, token = "", login } of LOGINS)
  test(`the login for ${cache}${token && ", with a token"}: ${login.trim() || "none"}`, async () => {
    writeFileSync(logins, "");
    const job = await step("main.mjs", { ...RECORD, cache, token });
    assert.equal(job.status, 0, job.log);
    assert.equal(readFileSync(logins, "utf8"), login);
  });

test("the login goes to a file of its own, which has the earlier ones, and is removed", async () => {
  const earlier = join(temporaryFolder(), "auth.json");
  writeFileSync(earlier, "earlier");
  const job = await step("main.mjs", { ...RECORD, cache: "ghcr.io/org/cache" }, { REGISTRY_AUTH_FILE: earlier });
  assert.equal(job.status, 0, job.log);
  assert.equal(readFileSync(earlier, "utf8"), "earlier");
  const file = job.set["REGISTRY_AUTH_FILE"] ?? "";
  assert.ok(file.startsWith(`${job.temporary}/`), file);
  assert.equal(readFileSync(file, "utf8"), "earlier\n");
  await step("post.mjs", {}, { STATE_folder: job.set["folder"] ?? "", RUNNER_TEMP: job.temporary });
  assert.ok(!existsSync(file) && existsSync(earlier));
});

test("the file of the login has the logins of docker and podman, and a broken file is named without its content", async () => {
  const home = temporaryFolder();
  const write = (path: string, content: unknown): void => {
    mkdirSync(join(home, path, ".."), { recursive: true });
    writeFileSync(join(home, path), typeof content === "string" ? content : JSON.stringify(content));
  };
  const entry = (text: string) => ({ auth: Buffer.from(`user:${text}`).toString("base64") });
  write("docker/config.json", {
    auths: { "docker.example": entry("a"), "both.example": entry("b") },
    ...{ credHelpers: { "helped.example": "x" }, credsStore: "y", HttpHeaders: { z: "1" } },
  });
  write(".config/containers/auth.json", { auths: { "both.example": entry("c") } });
  write("run/containers/auth.json", "s3cret");
  const env = { HOME: home, DOCKER_CONFIG: join(home, "docker"), XDG_RUNTIME_DIR: join(home, "run") };
  const job = await step("main.mjs", { ...RECORD, cache: "ghcr.io/org/cache" }, env);
  assert.equal(job.status, 0, job.log);
  const file = job.set["REGISTRY_AUTH_FILE"] ?? "";
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), {
    auths: { "docker.example": entry("a"), "both.example": entry("c") },
    ...{ credHelpers: { "helped.example": "x" }, credsStore: "y" },
  });
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.match(job.log, /^::warning::the logins in .*run\/containers\/auth\.json are not passed on/m);
  assert.doesNotMatch(job.log, /s3cret/);
});

test("only a folder below RUNNER_TEMP is made and removed", async () => {
  const folder = join(temporaryFolder(), "stave-x");
  mkdirSync(folder);
  assert.equal(
    (await step("post.mjs", {}, { STATE_folder: folder, RUNNER_TEMP: join(folder, "..", "temp") })).status,
    0,
  );
  assert.equal((await step("post.mjs", {}, { STATE_folder: folder, RUNNER_TEMP: "" })).status, 0);
  assert.ok(existsSync(folder));
  const job = await step("main.mjs", { url }, { RUNNER_TEMP: "" });
  assert.equal(job.status, 1);
  assert.match(job.log, /^::error::RUNNER_TEMP is not set/m);
});

test("what the push reports is no command to the runner", async () => {
  const { log } = await step("main.mjs", { ...RECORD, cache: "oci-layout:./cache" });
  assert.match(log, /error::a/);
  assert.doesNotMatch(log, /^\s*::error|##\[/m);
});

test("an action that is not of a release says so", async () => {
  const ordinary = join(work, "ordinary");
  cpSync(action, ordinary, { recursive: true });
  writeFileSync(join(ordinary, "release.json"), JSON.stringify({ version, url: "", sha256: {} }));
  for (const inputs of [{}, { url }]) {
    const { status, log } = await step("main.mjs", inputs, {}, ordinary);
    assert.equal(status, 1);
    assert.match(log, /^::error::action\/release\.json has no checksum .* use the commit or tag of a release/m);
  }
});

const REFUSALS: { name: string; inputs: Record<string, string>; damaged?: boolean; says: RegExp }[] = [
  { name: "another checksum", inputs: { url }, damaged: true, says: /has the checksum [0-9a-f]{64}, expected/ },
  { name: "no address", inputs: {}, says: /no address of a release is known/ },
  {
    name: "signing without the permission",
    inputs: { ...PUSH, token: "", cache: "oci-layout:./c", sign: "true" },
    says: /id-token: write/,
  },
  {
    name: "a word for sign",
    inputs: { ...PUSH, token: "", cache: "oci-layout:./c", sign: "yes" },
    says: /expected auto, true or false/,
  },
  {
    name: "a token over http",
    inputs: { ...PUSH, cache: "oci+http://registry.example/a/b" },
    says: /not sent to registry\.example without TLS/,
  },
  {
    name: "the token of the workflow over http",
    inputs: { ...RECORD, cache: "oci+http://ghcr.io/a/b" },
    says: /not sent to ghcr\.io without TLS/,
  },
  {
    name: "a token over http by an argument",
    inputs: { ...PUSH, cache: "registry.example/a/b", arguments: "--plain-http" },
    says: /not sent to registry\.example without TLS/,
  },
  {
    name: "a wrong token",
    inputs: { ...PUSH, cache: `oci+http://${registry.host}/a/b`, token: "wrong" },
    says: /cannot log in to/,
  },
];
for (const { name, inputs, damaged = false, says } of REFUSALS)
  test(`refuses ${name}`, async () => {
    damage = damaged;
    try {
      const job = await step("main.mjs", inputs);
      assert.equal(job.status, 1, job.log);
      assert.match(job.log, new RegExp(`::error::.*${says.source}`));
      if (damaged) assert.equal(job.path, "");
    } finally {
      damage = false;
    }
  });

test("action.yml has the inputs and outputs that the code uses, and no others", () => {
  const { inputs, outputs, runs } = parse(readFileSync(join(root, "action.yml"), "utf8"));
  const code = ["main.mjs", "runner.mjs"].map((file) => readFileSync(join(root, "action", file), "utf8")).join("\n");
  const used = [...code.matchAll(/(?:input|lines)\("([a-z-]+)"\)/g)].map(([, name = ""]) => name);
  assert.deepEqual([...new Set(used)].sort(), Object.keys(inputs).sort());
  const told = [...code.matchAll(/setOutput\("([a-z-]+)"/g)].map(([, name = ""]) => name);
  assert.deepEqual([...new Set(told)].sort(), Object.keys(outputs).sort());
  // A token that is there without being asked for goes to one registry only.
  const defaults = Object.entries<{ default?: string }>(inputs).filter(([, { default: text }]) =>
    text?.includes("token"),
  );
  assert.deepEqual(
    defaults.map(([name]) => name),
    ["github-token"],
  );
  for (const file of [runs.main, runs.post]) assert.ok(existsSync(join(root, file)));
});
