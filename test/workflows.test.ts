// Proves that the shell lines of the example workflows work: they run as the runner would run them, against the
// embedded registry, with a store in place of a build.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { parse } from "yaml";
import { z } from "zod";
import { makeBase } from "../scripts/make-base.ts";
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
  "secrets.GITHUB_TOKEN": TOKEN,
  "secrets.REGISTRY_USERNAME": "actor",
  "secrets.REGISTRY_PASSWORD": TOKEN,
};

/** A text as the runner sees it; ghcr.io and the base image are in the test's registry, nothing is signed or asked. */
function resolved(text: string): string {
  return text
    .replaceAll(/\$\{\{ ([a-zA-Z_.]+) \}\}/g, (_all, name: string) => VALUES[name] ?? "")
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
      ...{ PATH: `${bin}:${process.env["PATH"]}`, HOME: work, GITHUB_ACTOR: "actor", GITHUB_SHA: "0123456789abcdef" },
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
const stepSchema = z.looseObject({ run: z.string().optional(), env, "working-directory": z.string().optional() });
const jobSchema = z.looseObject({ env, steps: z.array(stepSchema) });
const workflowSchema = z.looseObject({ jobs: z.record(z.string(), jobSchema) });

/** Runs the shell steps of a job, except those that build or install stave, or sign. */
async function runJob(file: string, name: string, cwd = work): Promise<void> {
  const { jobs } = workflowSchema.parse(parse(readFileSync(resolve(root, "examples", file), "utf8")));
  const job = jobs[name];
  assert.ok(job);
  let count = 0;
  for (const step of job.steps) {
    if (step.run === undefined || step["working-directory"] !== undefined || /^stave sign/.test(step.run)) continue;
    const all = Object.entries({ ...job.env, ...step.env }).map(([key, value]) => [key, resolved(value)]);
    await shell(resolved(step.run), Object.fromEntries(all), cwd);
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

test("a fork builds into a directory, and what is trusted is published from it", async () => {
  await runJob("github-actions-forks.yml", "check");
  await runJob("github-actions-forks-publish.yml", "publish");
  const given = { STAVE_REGISTRY: registry.host, STAVE_USERNAME: "actor", STAVE_PASSWORD: TOKEN };
  const listed = await stave(["list", "-a", `oci+http://${registry.host}/org/stack/pull-requests`], { env: given });
  assert.match(listed.stdout, /fleet@/);
});

test("github-actions-platforms.yml puts both platforms under one tag", async () => {
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
  execFileSync("git", ["init", "--quiet", repository]);
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
