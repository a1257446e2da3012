// Proves that `stave init --ci` fits a workflow to what it finds, changes no file, and lets no value of a cloned
// repository become YAML or shell.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { workflowTemplates } from "../../lib/cli/output/workflow-templates.ts";
import { workflowText } from "../../lib/cli/output/workflow-text.ts";
import { stave } from "../support/cli.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const env = { HOME: work, SPACK_ROOT: "", XDG_STATE_HOME: join(work, "state"), GIT_CEILING_DIRECTORIES: work };
let folders = 0;
/** A folder with spack.yaml in `sub`; a repository if `remote` is given. */
function environment(remote?: string, sub = "."): string {
  const top = join(work, `repository${++folders}`);
  mkdirSync(join(top, sub), { recursive: true });
  writeFileSync(join(top, sub, "spack.yaml"), "spack: {}\n");
  if (remote !== undefined) {
    execFileSync("git", ["init", "--quiet", top]);
    execFileSync("git", ["-C", top, "config", "remote.origin.url", remote]);
  }
  return join(top, sub);
}
async function init(cwd: string, args: string[], status = 0): Promise<string> {
  const ran = await stave(["init", ...args], { cwd, env });
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}
/** What a workflow of GitHub has as its cache. */
async function cacheOf(cwd: string, args: string[] = []): Promise<unknown> {
  const ran = await stave(["init", "--ci", "github", "--dry-run", "--quiet", ...args], { cwd, env });
  assert.equal(ran.status, 0, ran.stderr);
  return parse(ran.stdout).jobs.publish.env.CACHE;
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: this is GitHub's syntax
const OWN = "oci://ghcr.io/${{ github.repository }}/cache";
const REMOTES: [remote: string | undefined, cache: string][] = [
  [undefined, OWN],
  ["https://github.com/Org/Stack.git", "oci://ghcr.io/org/stack/cache"],
  ["https://me:secret@github.com/org/stack", "oci://ghcr.io/org/stack/cache"],
  ["git@github.com:org/my_stack.git", "oci://ghcr.io/org/my_stack/cache"],
  ["ssh://git@github.com/org/stack.git", "oci://ghcr.io/org/stack/cache"],
  ["https://gitlab.com/org/stack.git", OWN],
  ["https://github.com.example.com/org/stack.git", OWN],
  ["https://github.com/org/$(touch x)", OWN],
  ['https://github.com/org/a"b', OWN],
  ["https://github.com/org/stack/more", OWN],
];
for (const [remote, cache] of REMOTES)
  test(`the remote ${remote} gives the cache ${cache}`, async () => {
    assert.equal(await cacheOf(environment(remote)), cache);
  });

test("the cache of an accepted stave.yaml is taken if it is in a registry, and --cache takes precedence", async () => {
  const at = environment("https://github.com/org/stack");
  writeFileSync(join(at, "stave.yaml"), "cache: oci://registry.example.com:5000/team/cache\n");
  assert.equal(await cacheOf(at), "oci://ghcr.io/org/stack/cache");
  assert.match(await init(at, ["--ci", "github", "--dry-run"]), /stave\.yaml is not used/);
  await init(at, ["--yes"]);
  assert.equal(await cacheOf(at), "oci://registry.example.com:5000/team/cache");
  assert.equal(await cacheOf(at, ["--cache", "oci://ghcr.io/a/b"]), "oci://ghcr.io/a/b");
  writeFileSync(join(at, "stave.yaml"), "cache: oci-layout:./mine\n");
  await init(at, ["--yes"]);
  assert.match(
    await init(at, ["--ci", "github", "--dry-run"]),
    /is not in a registry[\s\S]*ghcr\.io\/org\/stack\/cache/,
  );
});

const HOSTILE = [
  'oci://ghcr.io/org/x"\nname: "evil',
  "oci://ghcr.io/org/$(touch x)",
  "oci://ghcr.io/org/`x`",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is GitHub's syntax
  "oci://ghcr.io/${{ secrets.TOKEN }}/x",
  "oci://$HOME/x",
  "oci://user:secret@ghcr.io/org/x",
  "oci://ghcr.io",
  "oci://ghcr.io/Org/x",
  "oci://ghcr.io/org/x:tag",
  `oci://ghcr.io/${"a".repeat(300)}`,
  "./directory",
];
const FOLDERS = ["$(touch x)", "a b", 'a"b', "a: b", "-x", "..", "a/../b", "ä", "a".repeat(81)];
test("a cache or a folder that could become YAML or shell is refused, and nothing is written", async () => {
  const templates = await workflowTemplates();
  for (const service of ["github", "gitlab"] as const) {
    const fit = (cache: string | undefined, folder: string) => () =>
      workflowText(service, templates[service], { cache, folder });
    for (const cache of HOSTILE) assert.throws(fit(cache, ""), /a workflow cannot have the cache/, cache);
    for (const folder of FOLDERS) assert.throws(fit(undefined, folder), /a workflow cannot have the folder/, folder);
    const at = environment();
    assert.match(await init(at, ["--ci", service, "--cache", HOSTILE[0] ?? ""], 2), /cannot have the cache/);
    writeFileSync(join(at, "stave.yaml"), `cache: ${JSON.stringify(HOSTILE[1])}\n`);
    await init(at, ["--yes"]);
    assert.match(await init(at, ["--ci", service], 2), /a workflow cannot have the cache/);
    assert.deepEqual(readdirSync(at).toSorted(), ["spack.yaml", "stave.yaml"]);
    const below = environment("https://github.com/org/stack", "$(touch x)");
    assert.match(await init(below, ["--ci", service], 2), /a workflow cannot have the folder/);
    assert.deepEqual(readdirSync(dirname(below)).toSorted(), ["$(touch x)", ".git"]);
  }
});

test("the file is at the top of the repository, and is never changed; a dry run writes nothing", async () => {
  for (const [service, name] of [
    ["github", ".github/workflows/stave-envs-app.yml"],
    ["gitlab", ".gitlab-ci.yml"],
  ] as const) {
    const at = environment("https://github.com/org/stack", "envs/app");
    const file = join(at, "../..", name);
    const shown = await stave(["init", "--ci", service, "--dry-run"], { cwd: at, env });
    assert.match(shown.stdout, /(?:stave push "\$CACHE" -e|environment:) "\.\/envs\/app"/);
    assert.match(shown.stderr, new RegExp(`${name} would be written`));
    assert.deepEqual(readdirSync(join(at, "../..")).toSorted(), [".git", "envs"]);
    assert.match(await init(at, ["--ci", service]), new RegExp(`${name} was written[\\s\\S]*STAVE_`));
    assert.equal(readFileSync(file, "utf8"), shown.stdout);
    writeFileSync(file, "mine");
    assert.match(await init(at, ["--ci", service], 6), /is there already, and is never changed/);
    assert.equal(readFileSync(file, "utf8"), "mine");
  }
});

test("nothing is written through a link, and not without spack.yaml", async () => {
  const at = environment();
  mkdirSync(join(work, "elsewhere"));
  symlinkSync(join(work, "elsewhere"), join(at, ".github"));
  assert.match(await init(at, ["--ci", "github"], 6), /nothing is written through it/);
  symlinkSync(join(work, "gone"), join(at, ".gitlab-ci.yml"));
  assert.match(await init(at, ["--ci", "gitlab"], 6), /is there already/);
  assert.deepEqual(readdirSync(join(work, "elsewhere")), []);
  assert.match(await init(join(work, "elsewhere"), ["--ci", "github"], 5), /there is no spack\.yaml/);
  assert.match(await init(at, ["--ci", "github", "--store", "./s"], 2), /--store and --ci exclude each other/);
});
