// Proves that the example workflows work: their shell lines, and stave's action, run as the runner would run them,
// against the embedded registry, with a store in place of a build.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { parse } from "yaml";
import { z } from "zod";
import { makeBase } from "../scripts/make-base.ts";
import { findProgram } from "../scripts/peers.ts";
import { actionStep } from "./support/action-step.ts";
import { stave } from "./support/cli.ts";
import { golden } from "./support/golden.ts";
import { goldenStore } from "./support/push.ts";
import { startRegistry } from "./support/registry.ts";
import { temporaryFolder } from "./support/tree.ts";

const root = new URL("..", import.meta.url).pathname;
const work = temporaryFolder();
const { sysroot } = await goldenStore();
const TOKEN = "t0ken-of-the-job";
const registry = await startRegistry({ login: { kind: "bearer", username: "actor", password: TOKEN } });
after(() => registry.close());

const bin = join(work, "bin");
mkdirSync(bin);
for (const name of ["spack.yaml", "spack.lock"]) cpSync(golden(`spack-1.2/${name}`), join(work, name));
const script = (name: string, text: string): void =>
  writeFileSync(join(bin, name), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
// The store is where the environment was built; no Spack is asked.
script(
  "stave",
  `args=("$@")
if [[ $1 == push ]]; then args=(push --sysroot '${sysroot}' --store /opt/harbor/store "\${@:2}"); fi
exec '${process.execPath}' '${join(root, "dist/stave.js")}' "\${args[@]}"`,
);
script("spack", "if [[ $1 == location ]]; then echo /opt/harbor/spack; fi");
for (const name of ["apt-get", "git"]) script(name, "");
/** The real one: that of the jobs does nothing. */
const GIT = findProgram("git") ?? "git";

before(async () => {
  const env = { STAVE_REGISTRY: registry.host, STAVE_USERNAME: "actor", STAVE_PASSWORD: TOKEN };
  makeBase(join(work, "base"), { tag: "base" });
  const pushed = await stave(["copy", `oci-layout:${work}/base:base`, `${registry.host}/base:latest`], { env });
  assert.equal(pushed.status, 0, pushed.stderr);
});

/** What an expression stands for. */
const VALUES: Record<string, string> = {
  "github.repository": "org/stack",
  "github.sha": "0123456789abcdef",
  "github.event.number": "7",
  "github.actor": "actor",
  "github.token": TOKEN,
  "secrets.GITHUB_TOKEN": TOKEN,
  "secrets.REGISTRY_USERNAME": "actor",
  "secrets.REGISTRY_PASSWORD": TOKEN,
};

/** A text as the runner sees it; ghcr.io and the base image are in the test's registry, nothing is signed or asked. */
function resolved(text: string): string {
  return text
    .replaceAll(/\$\{\{ ([a-zA-Z_.]+) \}\}/g, (_all, name: string) => VALUES[name] ?? "")
    .replaceAll("example-org/", "org/")
    .replaceAll(/(?<=oci:\/\/)ghcr\.io/g, registry.host)
    .replaceAll("oci://", "oci+http://")
    .replaceAll("ghcr.io", registry.host)
    .replaceAll("ubuntu:24.04", `${registry.host}/base:latest`)
    .replaceAll(/ --sign --keyless| --spack "\$\(spack location -r\)"/g, "");
}

async function shell(text: string, env: Record<string, string>, cwd = work): Promise<void> {
  const child = spawn("bash", ["-e", "-o", "pipefail", "-c", text], {
    cwd,
    env: {
      ...{ PATH: `${bin}:${process.env["PATH"]}`, HOME: work, XDG_RUNTIME_DIR: work },
      ...{ GITHUB_ACTOR: "actor", GITHUB_SHA: "0123456789abcdef" },
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      said += chunk;
    });
  const status = await new Promise<number | null>((done) => child.once("close", done));
  assert.equal(status, 0, `${text}\n${said}`);
  assert.doesNotMatch(said, new RegExp(TOKEN));
}

const env = z.record(z.string(), z.string()).optional();
const stepSchema = z.looseObject({
  ...{ run: z.string().optional(), uses: z.string().optional() },
  ...{ env, with: z.record(z.string(), z.coerce.string()).optional() },
});
const jobSchema = z.looseObject({ env, steps: z.array(stepSchema) });
const workflowSchema = z.looseObject({ jobs: z.record(z.string(), jobSchema) });
const actionSchema = z.looseObject({
  inputs: z.record(z.string(), z.looseObject({ default: z.string().default("") })),
});
const { inputs: INPUTS } = actionSchema.parse(parse(readFileSync(join(root, "action.yml"), "utf8")));
const DEFAULTS = Object.fromEntries(Object.entries(INPUTS).map(([name, input]) => [name, input.default]));

/** Runs the action with the inputs of a step. Returns the variables of later steps. */
async function action(inputs: Record<string, string>, cwd: string): Promise<Readonly<Record<string, string>>> {
  const given = { ...DEFAULTS, ...inputs };
  const values = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, resolved(value)]));
  // The registry of the test stands for ghcr.io, and nothing is signed.
  const token = values["token"] || (given["cache"]?.includes("ghcr.io") ? (values["github-token"] ?? "") : "");
  const ran = await actionStep({
    ...{ action: join(root, "action"), cwd },
    inputs: { ...values, token, sign: "false", executable: join(bin, "stave") },
    env: {
      ...{ PATH: `${bin}:${process.env["PATH"]}`, HOME: work },
      // The base image would be public.
      ...(token === "" && { STAVE_REGISTRY: registry.host, STAVE_USERNAME: "actor", STAVE_PASSWORD: TOKEN }),
    },
  });
  assert.equal(ran.status, 0, ran.log);
  assert.doesNotMatch(ran.log.replace(`::add-mask::${TOKEN}\n`, ""), new RegExp(TOKEN));
  return ran.variables;
}

/** Runs the steps of a job, except the actions of others and steps that sign. */
async function runJob(file: string, name: string, cwd = work, more: Record<string, string> = {}): Promise<void> {
  const { jobs } = workflowSchema.parse(parse(readFileSync(resolve(root, "examples", file), "utf8")));
  const job = jobs[name];
  assert.ok(job);
  const known = Object.entries(job.env ?? {});
  const expanded = (text: string): string =>
    known.reduce((all, [key, value]) => all.replaceAll(`\${{ env.${key} }}`, () => value), text);
  let variables: Readonly<Record<string, string>> = {};
  let count = 0;
  for (const step of job.steps) {
    if (step.uses === "./.stave") {
      const inputs = Object.entries(step.with ?? {}).map(([key, value]) => [key, expanded(value)]);
      variables = { ...variables, ...(await action(Object.fromEntries(inputs), cwd)) };
      count++;
    }
    if (step.run === undefined || /^stave sign/.test(step.run)) continue;
    const all = Object.entries({ ...job.env, ...step.env }).map(([key, value]) => [key, resolved(value)]);
    await shell(resolved(step.run), { ...Object.fromEntries(all), ...variables, ...more }, cwd);
    count++;
  }
  assert.ok(count > 0);
}

const tagsOf = async (repository: string): Promise<string[]> => {
  const given = { STAVE_REGISTRY: registry.host, STAVE_USERNAME: "actor", STAVE_PASSWORD: TOKEN };
  const { stdout } = await stave(["tags", `${registry.host}/${repository}`], { env: given });
  return stdout.split("\n").filter((tag) => tag !== "" && !tag.endsWith(".spack"));
};

test("github-actions.yml publishes an environment", async () => {
  await runJob("github-actions.yml", "publish");
  assert.deepEqual(await tagsOf("org/stack/cache"), ["0123456789abcdef", "latest"]);
});

test("github-actions-sign.yml publishes, and github-actions-install.yml installs from there", async () => {
  await runJob("github-actions-sign.yml", "publish");
  // Short, because the golden store is not padded; nothing is signed here, so no policy is there.
  const home = mkdtempSync("/tmp/");
  try {
    await runJob("github-actions-install.yml", "test", work, { HOME: home, STAVE_TRUST: "" });
    assert.ok(readdirSync(join(home, "store")).includes(".spack-db"));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("a fork builds into a directory, and what is trusted is published from it", async () => {
  await runJob("github-actions-forks.yml", "check");
  await runJob("github-actions-forks-publish.yml", "publish");
  const given = { STAVE_REGISTRY: registry.host, STAVE_USERNAME: "actor", STAVE_PASSWORD: TOKEN };
  const listed = await stave(["list", "-a", `oci+http://${registry.host}/org/stack/pull-requests`], { env: given });
  assert.match(listed.stdout, /fleet@/);
});

test("github-actions-platforms.yml puts both platforms under one tag", async () => {
  await runJob("github-actions-platforms.yml", "publish");
  const login = { GITHUB_TOKEN: TOKEN };
  await shell(resolved('echo "$GITHUB_TOKEN" | stave login ghcr.io --username actor --password-stdin'), login);
  for (const architecture of ["amd64", "arm64"]) {
    makeBase(join(work, architecture), { tag: "base", architecture });
    const image = `${registry.host}/org/stack/cache:$GITHUB_SHA-${architecture}`;
    await shell(`stave copy oci-layout:./${architecture}:base ${image}`, {});
  }
  await runJob("github-actions-platforms.yml", "index");
  assert.ok((await tagsOf("org/stack/cache")).includes("latest"));
});

/** The shell lines of the job of a GitLab workflow, except those that install Spack and stave. */
function gitlabLines(file: string): string {
  const { publish } = z
    .looseObject({ publish: z.looseObject({ script: z.array(z.string()) }) })
    .parse(parse(readFileSync(file, "utf8")));
  const lines = publish.script.filter((line) => !/apt-get|git clone|curl |sha256sum|install\.sh/.test(line));
  assert.equal(lines.length, publish.script.length - 5);
  return resolved(lines.join("\n"));
}

test("gitlab-ci.yml publishes an environment", async () => {
  await shell(gitlabLines(join(root, "examples/gitlab-ci.yml")), {
    CI_REGISTRY: registry.host,
    CI_REGISTRY_USER: "actor",
    CI_REGISTRY_PASSWORD: TOKEN,
    CI_COMMIT_SHA: "fedcba9876543210",
    CACHE: `oci+http://${registry.host}/group/stack/cache`,
  });
  assert.deepEqual(await tagsOf("group/stack/cache"), ["fedcba9876543210", "latest"]);
});

test("what init --ci writes for an environment in a folder, and for another registry, publishes it", async () => {
  const repository = join(work, "repository");
  const at = join(repository, "envs/app");
  mkdirSync(at, { recursive: true });
  for (const name of ["spack.yaml", "spack.lock"]) cpSync(golden(`spack-1.2/${name}`), join(at, name));
  execFileSync(GIT, ["init", "--quiet", repository]);
  const cache = `oci+http://${registry.host}/fitted/cache`;
  for (const service of ["github", "gitlab"]) {
    const written = await stave(["init", "--ci", service, "--cache", `${cache}-${service}`], { cwd: at });
    assert.equal(written.status, 0, written.stderr);
    assert.match(written.stderr, /REGISTRY_PASSWORD, REGISTRY_USERNAME, STAVE_/);
  }
  await runJob(join(repository, ".github/workflows/stave-envs-app.yml"), "publish", repository);
  assert.deepEqual(await tagsOf("fitted/cache-github"), ["envs-app", "envs-app-0123456789abcdef"]);
  const env = { REGISTRY_USERNAME: "actor", REGISTRY_PASSWORD: TOKEN, CI_COMMIT_SHA: "fedcba9876543210" };
  await shell(gitlabLines(join(repository, ".gitlab-ci.yml")), { ...env, CACHE: `${cache}-gitlab` }, repository);
  assert.deepEqual(await tagsOf("fitted/cache-gitlab"), ["envs-app", "envs-app-fedcba9876543210"]);
});

test("release.yml moves the tag of the major version to the newest release, and checks the version", async () => {
  const { jobs } = workflowSchema.parse(parse(readFileSync(join(root, ".github/workflows/release.yml"), "utf8")));
  const lines = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));
  const move = lines.find((run) => run.includes("git push")) ?? "";
  const check = lines.find((run) => run.includes("package.json")) ?? "";
  const [origin, clone] = [join(work, "origin.git"), join(work, "clone")];
  const git = (...args: string[]): string => execFileSync(GIT, args, { cwd: clone, encoding: "utf8" }).trim();
  execFileSync(GIT, ["init", "--quiet", "--bare", origin]);
  execFileSync(GIT, ["clone", "--quiet", origin, clone], { stdio: "ignore" });
  for (const version of ["1.0.0", "1.1.0", "2.0.0"]) {
    writeFileSync(join(clone, "package.json"), JSON.stringify({ version }));
    git("add", "package.json");
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", version);
    const env = {
      PATH: process.env["PATH"] ?? "",
      GITHUB_SHA: git("rev-parse", "HEAD"),
      GITHUB_REF_NAME: `v${version}`,
    };
    await shell(check, env, clone);
    await assert.rejects(shell(check, { ...env, GITHUB_REF_NAME: "v9.9.9" }, clone));
    await shell(move, env, clone);
  }
  const tags = git("ls-remote", "--tags", "origin").split("\n");
  const at = (commit: string, tag: string): string => `${git("rev-parse", commit)}\trefs/tags/${tag}`;
  assert.deepEqual(tags, [at("HEAD~1", "v1"), at("HEAD", "v2")]);
});
