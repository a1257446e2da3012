// Proves that tagged images say where they come from: by git, the variables of a CI job, SOURCE_DATE_EPOCH, and the
// container section of spack.yaml.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { withoutCredentials } from "../../lib/api/machine/image-labels.ts";
import { parseFetched } from "../../lib/target/choose-platform.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { glibc, pushTree } from "../support/made-base.ts";
import { goldenStore } from "../support/push.ts";
import { readImage } from "../support/read-image.ts";
import { temporaryFolder } from "../support/tree.ts";

const { sysroot } = await goldenStore();
const hasGit = spawnSync("git", ["--version"]).status === 0;
const skip = hasGit ? false : "git is not installed";

function environment(more = ""): string {
  const folder = join(temporaryFolder(), "env");
  mkdirSync(folder);
  copyFileSync(golden("spack-1.2/spack.lock"), join(folder, "spack.lock"));
  writeFileSync(join(folder, "spack.yaml"), `spack:\n  specs: [fleet, hull]\n  view: false\n${more}`);
  return folder;
}

function git(folder: string, ...args: string[]): string {
  const env = { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" };
  const who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
  const ran = spawnSync("git", ["-C", folder, ...who, ...args], { encoding: "utf8", env });
  assert.equal(ran.status, 0, ran.stderr);
  return ran.stdout.trim();
}

const layout = join(temporaryFolder(), "cache");

async function labels(folder: string, env: Record<string, string> = {}, ...args: string[]) {
  const store = ["--sysroot", sysroot, "--store", "/opt/harbor/store"];
  const more = { XDG_CACHE_HOME: temporaryFolder(), ...env };
  const ran = await stave(["push", ...store, `oci-layout:${layout}`, "-e", folder, "-t", "app", ...args], {
    env: more,
  });
  assert.equal(ran.status, 0, ran.stderr);
  const target = await LayoutTarget.open(layout, { clock: systemClock, create: false });
  try {
    const { config, digests } = await readImage(target, "app");
    const document = parseFetched(await target.fetchManifest("app"), "app");
    const short = (all: Record<string, string> | null | undefined): Record<string, string> =>
      Object.fromEntries(
        Object.entries(all ?? {}).map(([key, value]) => [key.replace("org.opencontainers.image.", ""), value]),
      );
    const annotations = short(document.kind === "manifest" ? document.value.annotations : undefined);
    return { labels: short(config.config?.Labels), annotations, created: config.created, digests, stderr: ran.stderr };
  } finally {
    await target.close();
  }
}

test("git names source, revision and version; a change is in the version only", { skip }, async () => {
  const folder = environment();
  git(folder, "init", "-q");
  git(folder, "remote", "add", "origin", "https://me:secret@example.org/org/app.git");
  git(folder, "add", ".");
  git(folder, "commit", "-q", "-m", "one");
  git(folder, "tag", "v1.2");
  const revision = git(folder, "rev-parse", "HEAD");
  const expected = { revision, source: "https://example.org/org/app", version: "v1.2" };
  const clean = await labels(folder);
  assert.deepEqual([clean.labels, clean.annotations, clean.created], [expected, expected, undefined]);
  writeFileSync(join(folder, "spack.yaml"), "# changed\nspack:\n  specs: [fleet, hull]\n  view: false\n");
  const changed = await labels(folder, { GIT_DIR: "/nowhere" });
  assert.deepEqual(changed.labels, { ...expected, version: "v1.2-dirty" });
  assert.deepEqual((await labels(folder, {}, "--no-standard-labels")).labels, {});
  const own = await labels(folder, {}, "--label", "org.opencontainers.image.version=3");
  assert.deepEqual(own.labels["version"], "3");
});

test("a repository to which the environment does not belong says nothing", { skip }, async () => {
  const folder = environment();
  git(folder, "init", "-q");
  writeFileSync(join(folder, "other"), "");
  git(folder, "add", "other");
  git(folder, "commit", "-q", "-m", "one");
  assert.deepEqual((await labels(folder)).labels, {});
});

describe("without git", () => {
  const github = { GITHUB_SERVER_URL: "https://github.com", GITHUB_REPOSITORY: "org/app", GITHUB_SHA: "abc" };
  const gitlab = { CI_PROJECT_URL: "https://gitlab.com/org/app", CI_COMMIT_SHA: "abc", CI_COMMIT_TAG: "v1" };
  const ROWS: [string, Record<string, string>, Record<string, string>][] = [
    [
      "a job of GitHub",
      github,
      { source: "https://github.com/org/app", url: "https://github.com/org/app", revision: "abc" },
    ],
    [
      "its tag",
      { ...github, GITHUB_REF_TYPE: "tag", GITHUB_REF_NAME: "v1" },
      { source: "https://github.com/org/app", url: "https://github.com/org/app", revision: "abc", version: "v1" },
    ],
    [
      "a job of GitLab",
      gitlab,
      { source: "https://gitlab.com/org/app", url: "https://gitlab.com/org/app", revision: "abc", version: "v1" },
    ],
    ["SOURCE_DATE_EPOCH", { SOURCE_DATE_EPOCH: "1700000000" }, { created: "2023-11-14T22:13:20Z" }],
    ["nothing", {}, {}],
  ];
  const folder = environment();
  for (const [title, env, expected] of ROWS)
    test(`${title} says it`, async () => {
      const found = await labels(folder, env);
      assert.deepEqual([found.labels, found.annotations, found.created], [expected, expected, expected["created"]]);
    });

  for (const value of ["now", "-1", "1e3", "999999999999"])
    test(`a SOURCE_DATE_EPOCH of ${value} is refused`, async () => {
      const args = [
        "push",
        "--sysroot",
        sysroot,
        "--store",
        "/opt/harbor/store",
        "oci-layout:./c",
        "voyage",
        "-t",
        "a",
      ];
      const ran = await stave(args, { env: { SOURCE_DATE_EPOCH: value }, cwd: temporaryFolder() });
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, /SOURCE_DATE_EPOCH is ".*", expected seconds since 1970 .*\[USAGE\]/);
    });
});

test("the container section of spack.yaml: base, labels, packages that the base lacks, and the rest by name", async () => {
  const bases = await LayoutTarget.open(join(temporaryFolder(), "bases"), { clock: systemClock, create: true });
  after(() => bases.close());
  const status =
    "Package: libc6\nStatus: install ok installed\nVersion: 2.36\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
  await pushTree(bases, "b", [...glibc(36), { type: "file", path: "var/lib/dpkg/status", content: status }]);
  const folder = environment(`  container:
    images: {build: "spack/x:1", final: "${bases.name}:b"}
    labels: {made: here, number: 3}
    os_packages: {final: [libc6, libgomp1, gone], build: [gcc]}
    template: mine.dockerfile
    strip: false
`);
  const found = await labels(folder);
  assert.deepEqual([found.labels["made"], found.labels["number"]], ["here", "3"]);
  assert.ok(found.labels["base.digest"] !== undefined);
  assert.equal(found.annotations["made"], undefined);
  assert.match(found.stderr, /container:template of spack\.yaml has no effect/);
  assert.match(found.stderr, /packages of the system .* are not known to be in its base: libgomp1, gone$/m);
});

for (const [given, expected] of [
  ["https://user:token@example.org/a/b.git", "https://example.org/a/b"],
  ["git@github.com:a/b.git", "https://github.com/a/b"],
  ["ssh://git@example.org:22/a/b", "ssh://example.org:22/a/b"],
  ["https://example.org/a?token=1#x", "https://example.org/a"],
  ["/srv/git/a", undefined],
  ["file:///srv/git/a", undefined],
  ["../a", undefined],
] as const)
  test(`the source ${given.replace("token", "…")}`, () => assert.equal(withoutCredentials(given), expected));
