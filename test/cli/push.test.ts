// Proves that `stave push` works for users: its output, its refusals, and what remains after a kill.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeStore } from "../../scripts/make-store.ts";
import { madeSpec, pushSpec } from "../support/caches.ts";
import { type RunOptions, startStave, stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const { sysroot } = await goldenStore();
const STORE = ["--sysroot", sysroot, "--store", "/opt/harbor/store"];

function pushing(args: string[], options: RunOptions = {}): ReturnType<typeof stave> {
  const env = { XDG_CACHE_HOME: temporaryFolder(), ...options.env };
  return stave(["push", ...STORE, ...args], { ...options, env });
}

const digests = (directory: string): string => readFileSync(join(directory, "index.json"), "utf8");

const errorLines = (stderr: string): string[] => stderr.split("\n").filter((line) => /error:|failed/.test(line));

describe("one cause is one error", () => {
  test("a registry that refuses to be written to: one line, its status, and under GitHub Actions the missing permission", async () => {
    const registry = await startRegistry({ rules: [{ method: "POST", path: /uploads/, fault: { status: 403 } }] });
    const env = { GITHUB_SERVER_URL: `http://${registry.host}`, GITHUB_ACTIONS: "true", NO_COLOR: "1" };
    const args = [`oci+http://${registry.host}/org/cache`, "fleet", "hull", "-t", "app", "--update-index"];
    const ran = await pushing(args, { env });
    await registry.close();
    assert.equal(ran.status, 3, ran.stderr);
    const [line = "", ...more] = errorLines(ran.stderr);
    assert.deepEqual(more, []);
    assert.match(line, /^::error::cannot .*refused access \(403\).* \[DENIED\]$/);
    assert.match(ran.stderr, /hint: .*packages: write/);
  });

  test("a store that is elsewhere: one line, not one for each spec", async () => {
    const { sysroot: other } = await goldenStore();
    const prefixes = join(other, "opt/harbor/store/linux-x86_64");
    for (const entry of readdirSync(prefixes)) rmSync(join(prefixes, entry), { recursive: true });
    const ran = await stave(["push", "--sysroot", other, "--store", "/opt/harbor/store", "fleet", "-t", "app"], {
      cwd: temporaryFolder(),
      env: { XDG_CACHE_HOME: temporaryFolder() },
    });
    assert.equal(ran.status, 7, ran.stderr);
    assert.equal(errorLines(ran.stderr).length, 1, ran.stderr);
    assert.match(ran.stderr, /none of the 8 prefixes to push exists/);
  });

  test("a certificate file that is not there, before anything is asked", async () => {
    const ran = await pushing(["oci://localhost:1/org/cache", "fleet", "--cacert", "/nonexistent/ca.pem"]);
    assert.deepEqual([ran.status, errorLines(ran.stderr).length], [2, 1], ran.stderr);
    assert.match(ran.stderr, /^error: cannot read \/nonexistent\/ca\.pem: .* \[CONFIG_INVALID\]$/m);
  });

  const asRoot = process.getuid?.() === 0 ? false : "only root can mount";
  test("a disk that gets full, and a store on a read-only one", { skip: asRoot }, async () => {
    const disk = temporaryFolder();
    const mount = (...args: string[]): void => {
      const { status, stderr } = spawnSync("mount", [...args, disk]);
      assert.equal(status, 0, String(stderr));
    };
    mount("-t", "tmpfs", "-o", "size=160k", "tmpfs");
    try {
      const full = await pushing([`oci-layout:${disk}/cache`, "fleet", "hull", "-t", "app", "--update-index"]);
      assert.deepEqual([full.status, errorLines(full.stderr).length], [10, 1], full.stderr);
      assert.match(full.stderr, /ENOSPC.* \[FILE_SYSTEM\]\n {2}hint: the disk is full/);
      rmSync(join(disk, "cache"), { recursive: true });
      mkdirSync(join(disk, "store/.spack-db"), { recursive: true });
      writeFileSync(join(disk, "store/.spack-db/index.json"), '{"database":{"version":"8","installs":{}}}');
      for (const name of ["lock", "prefix_lock", "work_lock"]) writeFileSync(join(disk, "store/.spack-db", name), "");
      mkdirSync(join(disk, "store/bin"));
      writeFileSync(join(disk, "store/bin/sbang"), "");
      mount("-o", "remount,ro");
      const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
      const args = ["install", cache, "fleet", "--otherarch", "--store", join(disk, "store")];
      const locked = await stave(args, { env: { XDG_CACHE_HOME: temporaryFolder() } });
      assert.deepEqual([locked.status, errorLines(locked.stderr).length], [10, 1], locked.stderr);
    } finally {
      spawnSync("umount", [disk]);
    }
  });

  test("Ctrl-C prints one line", async () => {
    const registry = await startRegistry({ rules: [{ method: "POST", path: /uploads/, fault: "hang" }] });
    const child = startStave(["push", ...STORE, `oci+http://${registry.host}/org/cache`, "fleet", "hull"], {
      env: { XDG_CACHE_HOME: temporaryFolder() },
    });
    let stderr = "";
    child.stderr?.on("data", (chunk) => {
      stderr += chunk;
    });
    while (!registry.requests.some(({ method }) => method === "POST"))
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGINT");
    const [status] = await once(child, "close");
    await registry.close();
    assert.equal(status, 130, stderr);
    assert.deepEqual(errorLines(stderr), ["error: interrupted [ABORTED]"]);
  });
});

describe("to a directory", () => {
  const work = temporaryFolder();
  test("a plan writes nothing", async () => {
    const { status, stdout, stderr } = await pushing(["--plan", "--tag", "app", "fleet"], { cwd: work });
    assert.equal(status, 0, stderr);
    const dry = await pushing(["--dry-run", "--tag", "app", "fleet"], { cwd: work });
    assert.deepEqual([dry.status, dry.stdout], [0, stdout]);
    assert.match(stdout, /^ACTION\s+SPEC\s+FILES\s+BYTES\n/);
    assert.match(stdout, /pack\s+hull@1\.10\.1\/uwlohrq\s+13\s+28\.0 kB/);
    assert.match(stdout, /image app: 7 layers\n8 specs to pack: 46 files, 317 kB; to send about /);
    assert.deepEqual(readdirSync(work), []);
  });
  test("the default is ./stave-cache: lines as specs are done, then the sums and the image", async () => {
    const { status, stdout, stderr } = await pushing(["fleet", "hull", "-t", "app", "-t", "app:2".replace(":", "-")], {
      cwd: work,
    });
    assert.equal(status, 0, stderr);
    assert.equal(stderr.match(/^pushed \S+@\S+\/[a-z2-7]{7} sha256:[0-9a-f]{64} \(.*\/s\)$/gm)?.length, 8, stderr);
    assert.match(stdout, /^OUTCOME\s+SPECS\s+PACKED\s+LAYERS\npushed\s+8\s+614 kB\s+\d+ kB\n/);
    assert.match(stdout, /^oci-layout:\.\/stave-cache:app sha256:[0-9a-f]{64} \(7 layers, /m);
    assert.match(stdout, /^oci-layout:\.\/stave-cache:app-2 /m);
    assert.match(stdout, /from the install tree/);
  });
  test("a second time there is nothing to do", async () => {
    const before = digests(join(work, "stave-cache"));
    const { status, stdout, stderr } = await pushing(["fleet", "hull", "-t", "app"], { cwd: work });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.match(stdout, /already there\s+8\s*\nnothing to send/);
    assert.match(stdout, /unchanged/);
    assert.equal(digests(join(work, "stave-cache")), before);
  });
  test("--json is one document with everything", async () => {
    const { status, stdout } = await pushing(["oci-layout:./json", "rigging", "--json", "--update-index"], {
      cwd: work,
    });
    assert.equal(status, 0);
    const { verb, report } = JSON.parse(stdout);
    assert.deepEqual(
      [verb, report.specs.length, report.specs[0].outcome, report.index.specs],
      ["push", 1, "pushed", 1],
    );
    assert.equal(report.specs[0].layer.outcome, "pushed");
  });
  test("$STAVE_CACHE, and the older names of the verb and its flags", async () => {
    const env = { STAVE_CACHE: "oci-layout:./named", XDG_CACHE_HOME: temporaryFolder() };
    const { status, stderr } = await stave(
      ["create", ...STORE, "--no-deps", "-u", "-a", "-d", "oci-layout:./named", "--no-rebuild-index", "fleet"],
      {
        cwd: work,
        env,
      },
    );
    assert.deepEqual([status, /warning: --allow-root has no effect/.test(stderr)], [0, true], stderr);
    const index: { manifests: unknown[] } = JSON.parse(digests(join(work, "named")));
    assert.equal(index.manifests.length, 1);
  });
  test("an environment's roots, and a spec file", async () => {
    const env = join(work, "env");
    writeFileSync(join(work, "spec.json"), readFileSync(specFile("rigging")));
    const { status, stderr } = await pushing(["oci-layout:./file", "./spec.json"], { cwd: work });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^pushed rigging@/);
    mkdirSync(env);
    for (const name of ["spack.yaml", "spack.lock"]) copyFileSync(golden(`spack-1.2/${name}`), join(env, name));
    const all = await pushing(["oci-layout:./env-cache", "-e", env, "-t", "fleet-env", "-q"], { cwd: work });
    assert.equal(all.status, 0, all.stderr);
    assert.match(all.stdout, /pushed\s+8/);
  });
});

describe("warnings", () => {
  const work = temporaryFolder();
  const cache = `oci-layout:${join(work, "cache")}`;
  const warnings = (stderr: string): string[] => stderr.split("\n").filter((line) => line.startsWith("warning: "));

  test("a plan and a push say what is missing: a base image, padding; and a push, the index", async () => {
    for (const more of [["--plan"], []]) {
      const ran = await pushing([cache, "fleet", "-t", "app", ...more]);
      const [base, padding, index, ...others] = warnings(ran.stderr);
      assert.deepEqual([ran.status, others], [0, []], ran.stderr);
      assert.match(base ?? "", /nothing will start in app without a base image.*--base-image debian:12-slim$/);
      assert.match(padding ?? "", /\/opt\/harbor\/store is not padded: .*at most 17 characters \(config:install_tree/);
      if (more.length > 0) assert.equal(index, undefined);
      else assert.match(index ?? "", /lacks 8 new specs: run `stave index oci-layout:\S+cache`/);
    }
    const again = await pushing([cache, "fleet", "-t", "app"]);
    assert.deepEqual(warnings(again.stderr), []);
  });

  test("list says that the index lacks what was pushed, until it is updated", async () => {
    const index = ["index", cache];
    assert.equal((await stave(index)).status, 0);
    assert.deepEqual(warnings((await stave(["list", cache, "-a"])).stderr), []);
    const { target } = new OciCache(await LayoutTarget.open(join(work, "cache"), { clock: systemClock }));
    await pushSpec(target, madeSpec("new", "1.0"));
    const [warning = ""] = warnings((await stave(["list", cache, "-a"])).stderr);
    assert.match(
      warning,
      /^warning: the index of oci-layout:\S+ lacks 1 spec that it has: .*`stave index oci-layout:\S+`/,
    );
    assert.equal((await stave(index)).status, 0);
    assert.deepEqual(warnings((await stave(["list", cache, "-a"])).stderr), []);
  });

  test("specs of spack.yaml that spack.lock lacks; definitions and what the lock file satisfies are left alone", async () => {
    const env = join(work, "env");
    mkdirSync(env);
    copyFileSync(golden("spack-1.2/spack.lock"), join(env, "spack.lock"));
    const push = async (specs: string): Promise<string[]> => {
      writeFileSync(join(env, "spack.yaml"), `spack:\n  specs: [${specs}]\n  definitions:\n  - more: [nothing]\n`);
      const ran = await pushing([cache, "-e", env, "--plan"]);
      assert.equal(ran.status, 0, ran.stderr);
      return warnings(ran.stderr).filter((line) => line.includes("spack.lock"));
    };
    assert.deepEqual(await push('fleet, hull@1.10.1, "hull@1.10.1 +shared finish=oak,tar", $more'), []);
    const [warning = "", ...more] = await push("fleet, hull@2, cmake");
    assert.deepEqual(more, []);
    assert.match(warning, /spack\.yaml has hull@2, cmake, but spack\.lock does not: run `spack -e \S+ concretize`/);
  });
});

function specFile(name: string): string {
  const folder = join(sysroot, "opt/harbor/store/linux-x86_64");
  const prefix = readdirSync(folder).find((entry) => entry.startsWith(`${name}-`)) ?? "";
  return join(folder, prefix, ".spack/spec.json");
}

describe("variables of the images", () => {
  test("the user's own come last, and the pushing host's folders are left out", async () => {
    const work = temporaryFolder();
    const more = ["--variable", "MODE=calm", "--variable", "PATH^=/first", "--variable", "PATH+=/last"];
    const { status, stderr } = await pushing(["oci-layout:./c", "voyage", "-t", "app", "-q", ...more], { cwd: work });
    assert.equal(status, 0, stderr);
    const { stdout } = await stave(["inspect", "oci-layout:./c:app", "--json"], { cwd: work });
    const { Env } = JSON.parse(stdout).report.config.config;
    assert.ok(Env.includes("MODE=calm"));
    const [path] = Env;
    assert.match(path, /^PATH=\/first:\/opt\/harbor\/.*:\/bin:\/usr\/bin:\/last$/);
    assert.equal(new Set(path.split(":")).size, path.split(":").length);
    assert.ok(!Env.join("\n").includes("=/usr/share"));
  });
});

describe("settings of the tagged image", () => {
  const ROWS: { name: string; args: string[]; file?: string; message: RegExp }[] = [
    { name: "a label without a value", args: ["--label", "made"], message: /--label "made" has no value.*\[USAGE\]/ },
    {
      name: "an unknown key",
      args: [],
      file: "usr: me\n",
      message: /image\.yaml:1:\d+: .*"usr" is unknown.*\n.*did you mean user\?/,
    },
    { name: "what needs a shell", args: ["--cmd", "a && b"], message: /& needs a shell.*\[USAGE\]/ },
    {
      name: "a health check with OCI's media types",
      args: ["--healthcheck", "true"],
      message: /needs Docker's.*\[UNSUPPORTED\]/,
    },
    {
      name: "a budget of 0",
      args: ["--budget", "0"],
      message: /does not fit into 0 layers.*\[BUDGET_EXCEEDED\]\n.*--budget 1/,
    },
    { name: "an unknown user", args: ["--user", "me"], message: /no user me.*\[USAGE\]\n.*--add-user NAME/ },
    {
      name: "a kind of files that does not exist",
      args: ["--slim-keep", "header"],
      message: /"header".*\n.*headers\?/,
    },
    { name: "a view in the store", args: ["--view", "/opt/harbor/store/v"], message: /inside the store.*\[CONFLICT\]/ },
  ];
  for (const { name, args, file, message } of ROWS)
    test(`${name} is refused, and nothing is pushed`, async () => {
      const cwd = temporaryFolder();
      if (file !== undefined) writeFileSync(join(cwd, "image.yaml"), file);
      const more = file === undefined ? args : ["--image-config", "image.yaml"];
      const { status, stderr } = await pushing(["oci-layout:./c", "voyage", "-t", "app", ...more], { cwd });
      assert.notEqual(status, 0);
      assert.match(stderr, message);
      assert.ok(
        !existsSync(join(cwd, "c/index.json")) || !readFileSync(join(cwd, "c/index.json"), "utf8").includes("voyage"),
      );
    });

  test("without a tagged image there is nothing to set", async () => {
    const { status, stderr } = await pushing(["oci-layout:./c", "voyage", "--user", "me"], { cwd: temporaryFolder() });
    assert.equal(status, 2);
    assert.match(stderr, /no tag is named.*\n.*--tag TAG/);
  });
});

describe("the section stave of spack.yaml", () => {
  const environmentWith = (section: string): string => {
    const folder = join(temporaryFolder(), "env");
    mkdirSync(folder);
    copyFileSync(golden("spack-1.2/spack.lock"), join(folder, "spack.lock"));
    writeFileSync(join(folder, "spack.yaml"), `spack:\n  specs: [fleet, hull]\n  view: false\n${section}`);
    return folder;
  };
  const SECTION = `stave:
  # how it runs
  entrypoint: [fleet]
  user: "1"
  workdir: /a # where
  labels: {one: section, two: section, three: section}
`;

  test("has the settings of the tagged image; a file and flags take precedence", async () => {
    const env = environmentWith(
      SECTION.replace("stave:", "  container:\n    labels: {one: container, four: container}\nstave:"),
    );
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "image.yaml"), "user: '2'\nworkdir: /b\nlabels: {two: file, three: file}\n");
    const more = ["--image-config", "image.yaml", "--user", "3", "--label", "three=flag"];
    const ran = await pushing(["oci-layout:./c", "-e", env, "-t", "app", "-q", ...more], { cwd });
    assert.equal(ran.status, 0, ran.stderr);
    const { stdout } = await stave(["inspect", "oci-layout:./c:app", "--json"], { cwd });
    const { Entrypoint, User, WorkingDir, Labels } = JSON.parse(stdout).report.config.config;
    assert.deepEqual([Entrypoint, User, WorkingDir], [["fleet"], "3", "/b"]);
    const { one, two, three, four } = Labels;
    assert.deepEqual([one, two, three, four], ["section", "file", "flag", "container"]);
  });

  test("an unknown key, or a value that is not valid, is refused with its place", async () => {
    for (const [section, message] of [
      ["stave: {usr: me}\n", /spack\.yaml:4:\d+: the key "usr" is unknown.*\n.*did you mean user\?/],
      ["stave:\n  workdir: here\n", /spack\.yaml:5:\d+: stave:workdir is "here": expected an absolute path/],
      ["stave: 3\n", /spack\.yaml:4:\d+: stave is 3/],
    ] as const) {
      const args = ["oci-layout:./c", "-e", environmentWith(section)];
      const ran = await pushing([...args, "-t", "app"], { cwd: temporaryFolder() });
      assert.deepEqual([ran.status, message.test(ran.stderr)], [2, true], ran.stderr);
      // Without a tagged image there is nothing to set.
      assert.equal((await pushing(args, { cwd: temporaryFolder() })).status, 0);
    }
  });

  test("other verbs read the environment as ever; a Spack that is named would refuse it", async () => {
    const env = environmentWith(SECTION);
    const cwd = temporaryFolder();
    const pushed = await pushing(["oci-layout:./c", "-e", env], { cwd });
    assert.equal(pushed.status, 0, pushed.stderr);
    const more = { env: { XDG_CACHE_HOME: temporaryFolder() }, cwd };
    for (const args of [
      ["find", ...STORE, "-e", env],
      ["config", "-e", env],
      ["check", "-m", "oci-layout:./c", "-e", env],
      ["install", "oci-layout:./c", "-e", env, "-u", "--plan", "--store", join(cwd, "s")],
      ["env", ...STORE, "-e", env],
    ]) {
      const ran = await stave(args, more);
      assert.equal(ran.status, 0, `${args.join(" ")}: ${ran.stderr}`);
    }
    const spack = join(cwd, "spack");
    mkdirSync(join(spack, "bin"), { recursive: true });
    mkdirSync(join(spack, "lib/spack/spack"), { recursive: true });
    writeFileSync(join(spack, "bin/spack"), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(join(spack, "lib/spack/spack/__init__.py"), '__version__ = "1.2.0"\n');
    const store = join(sysroot, "opt/harbor/store");
    const args = ["push", "--store", store, "oci-layout:./c", "-e", env, "-t", "app", "--spack", spack];
    const asked = await stave(args, more);
    assert.equal(asked.status, 2, asked.stderr);
    assert.match(
      asked.stderr,
      /spack\.yaml:\d+:\d+: Spack refuses a manifest .*\n.*--image-config FILE, or leave out --spack/,
    );
  });
});

describe("views of the tagged image", () => {
  const env = join(temporaryFolder(), "env");
  const views = async (declared: string, ...args: string[]) => {
    mkdirSync(env, { recursive: true });
    copyFileSync(golden("spack-1.2/spack.lock"), join(env, "spack.lock"));
    writeFileSync(join(env, "spack.yaml"), `spack:\n  specs: [fleet, hull]\n  view: ${declared}\n`);
    const ran = await pushing(["./c", "-e", env, "--json", ...args], { cwd: temporaryFolder() });
    assert.equal(ran.status, 0, ran.stderr);
    const all: { path: string; specs: string[] }[] = JSON.parse(ran.stdout).report.views;
    return all.map(({ path, specs }) => `${path}: ${specs.map((spec) => spec.replace(/@.*/, "")).join(" ")}`);
  };
  const selected = "{main: {root: /opt/main, select: [hull, '%none'], link: all}, own: {root: own}}";
  const ROWS: [string, string, string[], string[]][] = [
    ["that spack.yaml declares outside its own folder", selected, [], ["/opt/main: hull"]],
    ["none with --no-view", selected, ["--no-view"], []],
    ["none if only the usual one is declared", "true", [], []],
    [
      "one with --view, by the rules of the only declared one",
      "{a: {root: own, select: [hull]}}",
      ["--view", "/v"],
      ["/v: hull"],
    ],
    ["one with --view although none is declared", "false", ["--view", "/v/"], ["/v: fleet voyage"]],
  ];
  for (const [title, declared, args, expected] of ROWS)
    test(title, async () => {
      const found = await views(declared, "-t", "app", ...args);
      assert.equal(found.length, expected.length);
      for (const [at, line] of expected.entries()) assert.ok(found[at]?.startsWith(line), found[at]);
    });

  const BAD: [string, string[], RegExp][] = [
    ["without a tagged image", ["--view", "/v"], /no image that the view could be in.*\n.*--tag/],
    ["at a relative path", ["--view", "v", "-t", "app"], /the view v is not valid, expected an absolute path below \//],
    ["at the root", ["--view", "//", "-t", "app"], /the view \/\/ is not valid/],
  ];
  for (const [title, args, message] of BAD)
    test(`${title} is refused`, async () => {
      const ran = await pushing(["./c", "voyage", ...args], { cwd: temporaryFolder() });
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, message);
    });

  test("the summary tells what is hidden", async () => {
    const ran = await pushing(["./c", "voyage", "-t", "app", "--view", "/v"], { cwd: temporaryFolder() });
    assert.match(ran.stdout, /^view \/v: \d+ links to \d packages$/m);
  });
});

test("--all pushes what was installed by name, with its dependencies", async () => {
  const cwd = temporaryFolder();
  const ran = await pushing(["./cache", "--all", "--no-env", "--json"], { cwd });
  assert.equal(ran.status, 0, ran.stderr);
  const names = JSON.parse(ran.stdout).report.specs.map(({ name }: { name: string }) => name);
  const { database } = JSON.parse(readFileSync(join(sysroot, "opt/harbor/store/.spack-db/index.json"), "utf8"));
  const records: { explicit: boolean; spec: { name: string; external?: unknown } }[] = Object.values(database.installs);
  const asked = records.filter(({ explicit, spec }) => explicit && spec.external === undefined);
  assert.ok(asked.length > 0 && asked.length < names.length, ran.stdout);
  for (const { spec } of asked) assert.ok(names.includes(spec.name), spec.name);
});

describe("is refused with the next step", () => {
  const rows: { name: string; args: string[]; status: number; message: RegExp }[] = [
    { name: "a tag that is none", args: ["-t", "a b", "fleet"], status: 2, message: /invalid tag "a b"/ },
    {
      name: "a tag that Spack would take for a spec",
      args: ["-t", "x.spack", "fleet"],
      status: 2,
      message: /ends in \.spack/,
    },
    { name: "a shard that is none", args: ["--shard", "3/2", "fleet"], status: 2, message: /expected K\/N/ },
    { name: "signing without a key", args: ["--signed", "fleet"], status: 2, message: /--signed needs a key/ },
    { name: "a key that is none", args: ["-k", "./ABC", "fleet"], status: 5, message: /cannot read .*ABC/ },
    { name: "two keys", args: ["-k", "a", "--sign", "b", "fleet"], status: 2, message: /name two keys/ },
    { name: "a key and none", args: ["-u", "--sign", "b", "fleet"], status: 2, message: /--unsigned excludes/ },
    { name: "relative archives", args: ["--rel", "fleet"], status: 6, message: /relative/ },
    {
      name: "contradictions",
      args: ["--with-build-dependencies", "--without-build-dependencies", "fleet"],
      status: 2,
      message: /exclude each other/,
    },
    { name: "nothing to push", args: [], status: 2, message: /no spec was named[\s\S]*hint: .*-e DIR; --all takes/ },
    { name: "everything and one", args: ["--all", "fleet"], status: 2, message: /--all and SPEC exclude each other/ },
    { name: "an unknown spec", args: ["hul"], status: 7, message: /did you mean hull/ },
    {
      name: "a compression that is none",
      args: ["--compression", "lzma", "fleet"],
      status: 2,
      message: /unknown compression/,
    },
    {
      name: "a base image that is not there",
      args: ["--base-image", "oci-layout:./none", "fleet"],
      status: 5,
      message: /none/,
    },
    { name: "a variable without a value", args: ["--variable", "X", "fleet"], status: 2, message: /NAME=VALUE/ },
    {
      name: "a repository that is none",
      args: ["oci://ghcr.io/a//b", "fleet"],
      status: 2,
      message: /invalid image reference/,
    },
  ];
  for (const { name, args, status, message } of rows)
    test(name, async () => {
      const work = temporaryFolder();
      const ran = await pushing(args, { cwd: work });
      assert.deepEqual([ran.status, ran.stdout], [status, ""], ran.stderr);
      assert.match(ran.stderr, message);
      assert.ok(!existsSync(join(work, "stave-cache", "blobs")));
    });

  test("what failed is told once more at the end, with status 9, and --json has both", async () => {
    const work = temporaryFolder();
    const { sysroot: other } = await goldenStore();
    const prefixes = join(other, "opt/harbor/store/linux-x86_64");
    for (const entry of readdirSync(prefixes))
      if (/^(?:hull|rigging)-/.test(entry)) rmSync(join(prefixes, entry), { recursive: true });
    const args = ["push", "--sysroot", other, "--store", "/opt/harbor/store", "fleet", "-t", "app"];
    const summary = join(work, "summary.md");
    const env = { GITHUB_ACTIONS: "true", NO_COLOR: "1", GITHUB_STEP_SUMMARY: summary, XDG_CACHE_HOME: work };
    const ran = await stave(args, { cwd: work, env });
    assert.equal(ran.status, 9, ran.stderr);
    assert.match(ran.stderr, /^::group::push 1 spec to oci-layout:\.\/stave-cache$/m);
    assert.match(ran.stderr, /^::endgroup::$/m);
    assert.match(ran.stderr, /^::error::hull@1\.10\.1\/uwlohrq was not pushed: /m);
    assert.match(ran.stderr, /^error: \d parts of the push failed \[PARTIAL\]$/m);
    assert.match(readFileSync(summary, "utf8"), /^\| failed \| \d \|/m);
    const json = await stave([...args, "--json"], { cwd: work, env });
    const { error, report } = JSON.parse(json.stdout);
    assert.deepEqual([json.status, error.code, report.images], [9, "PARTIAL", []]);
  });

  test("a full disk leaves a layout that is whole", async () => {
    const work = temporaryFolder();
    // Larger files cannot be written: as on a full disk, part of a push succeeds.
    const command = `ulimit -f 40; trap '' XFSZ; exec "$0" "$@"`;
    const stavePath = new URL("../../dist/stave.js", import.meta.url).pathname;
    const env = { PATH: process.env["PATH"] ?? "", HOME: work, NODE_DISABLE_COMPILE_CACHE: "1" };
    const ran = spawnSync("sh", ["-c", command, process.execPath, stavePath, "push", ...STORE, "fleet", "-t", "app"], {
      cwd: work,
      env,
      encoding: "utf8",
    });
    // One file is too large; dependents do not count as failures of their own.
    assert.equal(ran.status, 10, ran.stderr);
    assert.match(ran.stderr, /gcc-runtime@12\.2\.0\/oj4v6xw was not pushed: .*(?:EFBIG|too large)/);
    const again = await pushing(["fleet", "-t", "app"], { cwd: work });
    assert.equal(again.status, 0, again.stderr);
    assert.match(again.stdout, /already there/);
  });
});

test("a repository is written in lower case, as Spack does", async () => {
  const registry = await startRegistry();
  const { status, stdout, stderr } = await pushing([`${registry.host}/Org/Cache`, "rigging", "-t", "app"]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /\/org\/cache:app sha256:/);
  await registry.close();
});

describe("killed at ten moments, and run again", () => {
  const store = join(temporaryFolder(), "store");
  makeStore(store, { bytes: 60e6, files: 60, specs: 3, seed: 4 });
  const registries: TestRegistry[] = [];
  after(async () => {
    for (const registry of registries) await registry.close();
  });

  async function start(): Promise<TestRegistry> {
    const registry = await startRegistry();
    registries.push(registry);
    return registry;
  }
  const run = (registry: TestRegistry, home: string) => {
    const env = { XDG_CACHE_HOME: home, SPACK_ROOT: "" };
    return startStave(["push", "--store", store, `${registry.host}/org/cache`, ...names, "-t", "app", "-q"], { env });
  };
  const index: { database: { installs: Record<string, { spec: { name: string }; installed: boolean }> } } = JSON.parse(
    readFileSync(join(store, ".spack-db/index.json"), "utf8"),
  );
  const names = Object.entries(index.database.installs)
    .filter(([, record]) => record.installed && !("external" in record.spec))
    .map(([hash]) => `/${hash}`);

  async function state(registry: TestRegistry): Promise<Record<string, string>> {
    const client = connect(registry.host, "org/cache");
    const cache = new OciCache(client.target);
    const found: Record<string, string> = {};
    for (const tag of await Array.fromAsync(client.target.tags()).catch(() => [])) {
      if (tag.endsWith(".spack")) await cache.fetchSpec(tag);
      found[tag] = digestOf((await client.target.fetchManifest(tag)).bytes);
    }
    await client.close();
    return found;
  }

  test("the result is that of one go, and nothing that was committed is sent again", async () => {
    const whole = await start();
    const child = run(whole, temporaryFolder());
    assert.equal((await once(child, "exit"))[0], 0);
    const total = whole.requests.length;
    const expected = await state(whole);
    assert.equal(Object.keys(expected).length, names.length + 1);
    for (let moment = 1; moment <= 10; moment++) {
      const registry = await start();
      const home = temporaryFolder();
      const at = Math.round((moment * total) / 11);
      const first = run(registry, home);
      const record = registry.requests.push.bind(registry.requests);
      registry.requests.push = (...all) => {
        const seen = record(...all);
        if (seen >= at) first.kill("SIGKILL");
        return seen;
      };
      const ended = await once(first, "exit");
      assert.ok(ended[1] === "SIGKILL" || moment > 8, `moment ${moment}: ended with ${ended}`);
      // Only complete images exist.
      const left = await state(registry);
      for (const [tag, digest] of Object.entries(left)) assert.equal(digest, expected[tag], tag);
      const second = run(registry, home);
      assert.equal((await once(second, "exit"))[0], 0, `moment ${moment}`);
      assert.deepEqual(await state(registry), expected, `moment ${moment}`);
      const commits = registry.requests
        .filter(({ method, url, status }) => method === "PUT" && url.includes("digest=") && status === 201)
        .map(({ url }) => new URL(url, "http://x").searchParams.get("digest"));
      assert.equal(new Set(commits).size, commits.length, `moment ${moment}: sent twice: ${commits}`);
    }
  });
});
