// Proves that the extension of Spack runs stave with the environment, store and mirrors of that Spack, and that it
// reads the recipe of a release. Both with real Spack.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { sha256Of, spackRecipe, writeRelease } from "../../scripts/release.ts";
import { golden } from "../support/golden.ts";
import { installation, isOld, movedGolden, skip, spackEnv, spackScope } from "../support/spack.ts";

const root = new URL("../..", import.meta.url).pathname;
const work = realpathSync(mkdtempSync("/tmp/stave-extension-"));
after(() => rmSync(work, { recursive: true, force: true }));
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const program = join(work, "stave");
writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${join(root, "dist/stave.js")}' "$@"\n`, {
  mode: 0o755,
});

function spack(args: string[], env: Record<string, string> = {}): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(join(installation?.root ?? "", "bin/spack"), args, {
    ...{ cwd: work, encoding: "utf8", timeout: 200_000 },
    env: { ...spackEnv(work), STAVE: program, ...env },
  });
  return { status, said: `${stdout}${stderr}` };
}

test("spack stave uses the environment, the store and the mirrors of this Spack", { skip }, async () => {
  const store = await movedGolden(work);
  const extensions = join(root, "packaging/spack/spack-stave");
  const scope = spackScope(store, { "mirrors.yaml": `mirrors: {mine: {url: oci://localhost:1/x}}\n` });
  const config = ["-C", scope, "-c", `config:extensions:[${extensions}]`];
  const environment = join(work, "env");
  mkdirSync(environment);
  for (const name of ["spack.yaml", "spack.lock"]) cpSync(golden(`spack-1.2/${name}`), join(environment, name));
  const found = spack([...config, "stave", "find", "--json", "fleet"]);
  assert.equal(found.status, 0, found.said);
  assert.ok(found.said.includes(store));
  const shown = spack([...config, "-D", environment, "stave", "config"]);
  assert.equal(shown.status, 0, shown.said);
  assert.ok(shown.said.includes(environment) && shown.said.includes(installation?.root ?? ""), shown.said);
  const pushed = spack([...config, "stave", "push", "oci-layout:./pushed", "hull", "--no-env"]);
  assert.equal(pushed.status, 0, pushed.said);
  assert.ok(existsSync(join(work, "pushed/index.json")));
  // The status is that of stave.
  assert.equal(spack([...config, "stave", "nosuch"]).status, 2);
  const none = spack([...config, "stave", "find"], { STAVE: "", PATH: "/usr/bin:/bin" });
  assert.notEqual(none.status, 0);
  assert.match(none.said, /there is no stave on the PATH/);
});

test("Spack reads the recipe of a release, with its archive and checksum", {
  skip: skip || (isOld && "recipes are for Spack 1"),
}, () => {
  const single = join(work, "single");
  writeFileSync(single, "#!/bin/sh\necho stave 0.1.0\n", { mode: 0o755 });
  writeFileSync(join(work, "package.tgz"), "");
  const made = join(work, "release");
  writeRelease(made, {
    executables: (["x64", "arm64"] as const).map((architecture) => ({
      ...{ architecture, path: single, packages: [], licenses: "" },
    })),
    npmPackage: join(work, "package.tgz"),
    nodeLicense: "",
    date: 0,
  });
  const repo = join(work, "spack_repo/stave");
  mkdirSync(join(repo, "packages/stave"), { recursive: true });
  writeFileSync(join(repo, "repo.yaml"), "repo:\n  namespace: stave\n  api: v2.0\n");
  writeFileSync(join(repo, "packages/stave/package.py"), spackRecipe(made, `file://${made}`));
  const scope = join(work, "scope");
  mkdirSync(scope);
  writeFileSync(join(scope, "repos.yaml"), `repos:: {stave: ${repo}}\n`);
  // Installing would need a compiler and its recipe, as everything in Spack does; the class of the package is enough.
  const code = `
import spack.repo
cls = spack.repo.PATH.get_pkg_class("stave.stave")
for version, kwargs in cls.versions.items():
    print(version, kwargs["url"], kwargs["sha256"])
`;
  writeFileSync(join(work, "read.py"), code);
  const read = spack(["-C", scope, "python", join(work, "read.py")]);
  assert.equal(read.status, 0, read.said);
  const machine = process.arch === "x64" ? "x64" : "arm64";
  const archive = join(made, `stave-${version}-linux-${machine}.tar.gz`);
  assert.ok(read.said.includes(`${version} file://${archive} ${sha256Of(archive)}\n`), read.said);
});
