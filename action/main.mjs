// The action: installs stave, logs in to the registry of the cache, pushes the environment, and tells its digests.
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { installStave } from "./install.mjs";
import { earlierLogins } from "./logins.mjs";
import { addPath, command, exportVariable, input, lines, print, runAction, setOutput, setState } from "./runner.mjs";

const { env } = process;

/** The host of a cache in a registry; undefined for directories and mirrors. */
const registryOf = (cache) => /^(?:oci(?:\+http)?:\/\/)?([^/\s]+\.[^/\s]+|localhost(?::\d+)?|[^/\s]+:\d+)\//.exec(cache)?.[1];

/** Runs a program; its output goes to the log unless it is kept. Returns status and output. */
function run(program, args, { stdin = "", keeps = false, more = {} } = {}) {
  const child = spawn(program, args, { stdio: ["pipe", keeps ? "pipe" : "inherit", "inherit"], env: { ...env, ...more } });
  const chunks = [];
  child.stdout?.on("data", (chunk) => chunks.push(chunk));
  child.stdin.on("error", () => {}).end(stdin);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ status: status ?? 1, stdout: Buffer.concat(chunks).toString("utf8") }));
  });
}

/** A folder for files of this job, which other users cannot read. */
function ownFolder() {
  const parent = env.RUNNER_TEMP;
  if (!parent) throw new Error("RUNNER_TEMP is not set: the action only runs in a job");
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, "stave-"));
}

/** The token of the workflow goes to GitHub's own registry only; another registry gets only what it was given. */
const tokenFor = (registry) => input("token") || (registry === "ghcr.io" ? input("github-token") : "");

const isLoopback = (registry) => /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/.test(registry);

async function login(stave, cache, folder) {
  const registry = registryOf(cache);
  const token = tokenFor(registry);
  if (registry === undefined || token === "") return;
  command("add-mask", token);
  const isPlain = cache.startsWith("oci+http://") || lines("arguments").includes("--plain-http");
  if (isPlain && !isLoopback(registry)) throw new Error(`a token is not sent to ${registry} without TLS: use oci://`);
  // A file of its own, with the logins of earlier steps. Later steps use it; the last step of the job removes it.
  const file = join(folder, "auth.json");
  const { REGISTRY_AUTH_FILE: earlier } = env;
  if (!earlier) writeFileSync(file, JSON.stringify(earlierLogins(env)), { mode: 0o600 });
  else if (existsSync(earlier)) copyFileSync(earlier, file);
  exportVariable("REGISTRY_AUTH_FILE", file);
  const host = cache.startsWith("oci+http://") ? `oci+http://${registry}` : registry;
  const args = ["login", host, "--username", input("username"), "--password-stdin"];
  const { status } = await run(stave, args, { stdin: token });
  if (status !== 0) throw new Error(`cannot log in to ${registry}: check the inputs username and token`);
}

function pushArguments(cache) {
  const { ACTIONS_ID_TOKEN_REQUEST_URL: idToken } = env;
  const sign = input("sign") || "auto";
  if (!["auto", "true", "false"].includes(sign)) throw new Error(`the input sign is ${sign}, expected auto, true or false`);
  if (sign === "true" && !idToken) throw new Error("signing needs the permission `id-token: write` of the job");
  const isSigning = sign === "true" || (sign === "auto" && idToken && registryOf(cache) !== undefined);
  return [
    ...["push", cache, "--env", input("environment") || ".", "--json"],
    ...lines("tags").flatMap((tag) => ["--tag", tag]),
    ...(input("base-image") === "" ? [] : ["--base-image", input("base-image")]),
    ...(input("update-index") === "false" ? [] : ["--update-index"]),
    ...(isSigning ? ["--sign", "--keyless"] : []),
    ...lines("arguments"),
  ];
}

/** What a package that the world cannot read is worth saying: the first push of a package makes it private. */
async function tellPrivate(stave, cache, tag) {
  const image = `${cache.replace(/\/+$/, "")}:${tag}`;
  const quiet = { keeps: true, more: { REGISTRY_AUTH_FILE: "/dev/null" } };
  const { status } = await run(stave, ["digest", image, "--quiet", "--json", "--retries", "1"], quiet);
  if (status !== 3) return;
  const where = registryOf(cache) === "ghcr.io" ? `: change that at ${packagePage(cache)}` : "";
  command("notice", `${image} can only be pulled after a login${where}`);
}

function packagePage(cache) {
  const [owner = "", ...name] = cache.replace(/^oci:\/\//, "").split("/").slice(1);
  const base = `${env.GITHUB_SERVER_URL ?? "https://github.com"}/orgs/${owner}/packages/container`;
  return `${base}/${encodeURIComponent(name.join("/"))}/settings (or /users/${owner}/… for a person)`;
}

await runAction(async () => {
  const folder = ownFolder();
  setState("folder", folder);
  let stave = input("executable");
  if (stave === "") {
    const from = { url: input("url"), arch: process.arch, platform: process.platform };
    stave = join(await installStave(folder, from), "stave");
  }
  addPath(dirname(stave));
  const cache = input("cache");
  if (cache === "") return 0;
  await login(stave, cache, folder);
  const { status, stdout } = await run(stave, pushArguments(cache), { keeps: true });
  const { report } = JSON.parse(stdout || "{}");
  if (report === undefined) return status || 1;
  const images = report.images ?? [];
  const digests = Object.fromEntries(images.map(({ tag, manifest }) => [tag, manifest]));
  setOutput("images", JSON.stringify(digests));
  setOutput("pushed", (report.specs ?? []).filter(({ outcome }) => outcome === "pushed").length);
  const [first] = lines("tags");
  const digest = first === undefined ? undefined : digests[first];
  if (digest !== undefined) {
    setOutput("digest", digest);
    setOutput("reference", `${cache.replace(/^oci(?:\+http)?:\/\//, "").replace(/\/+$/, "")}@${digest}`);
  }
  for (const { tag, manifest } of images) print(`${tag} ${manifest}`);
  if (first !== undefined && registryOf(cache) !== undefined) await tellPrivate(stave, cache, first);
  return status;
});
