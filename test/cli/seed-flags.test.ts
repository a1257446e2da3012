// Every subcommand and flag of Spack's `buildcache`, `mirror` and `gpg`, in all of its versions: each works, or says
// what to use instead.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { stave } from "../support/cli.ts";
import { gpg, gpgHome, makeKey, noGpg } from "../support/gpg.ts";
import { copiedMirror, goldenMirror } from "../support/mirrors.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const mirror = await goldenMirror(3);
const { sysroot } = await goldenStore();
const HULL = /hull-1\.10\.1/;
let specFile = "";
let hash = "";
const cwd = temporaryFolder();
const run = (args: string[], env: Record<string, string> = {}): ReturnType<typeof stave> =>
  stave(args, { cwd, env: { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "", ...env } });
before(async () => {
  const done = await run(["download", "-m", mirror, "hull", "-p", cwd]);
  specFile = join(cwd, readdirSync(cwd).find((name) => name.endsWith(".json")) ?? "");
  hash = /([a-z0-9]{32})\.spec\.json$/.exec(specFile)?.[1] ?? "";
  assert.equal(done.status, 0, done.stderr);
});

interface Row {
  readonly flags: string;
  readonly args: () => string[];
  /** Default: 0. */
  readonly status?: number;
  /** What it prints, on either stream. */
  readonly says?: RegExp;
}

const from = ["--sysroot", sysroot, "--store", "/opt/harbor/store", "--no-env"];
const to = (): string => `file://${temporaryFolder()}/m`;
const push = (...args: string[]): string[] => ["push", "-u", to(), ...from, ...args];
const keepList = (): string => {
  const path = join(cwd, "keep");
  writeFileSync(path, `/${hash}\n`);
  return path;
};
const ROWS: Row[] = [
  { flags: "push -f", args: () => push("zlib-ish", "-f"), says: /1 specs? pushed|pushed/ },
  { flags: "create", args: () => ["create", ...push("zlib-ish").slice(1)] },
  { flags: "push -a/--allow-root", args: () => push("zlib-ish", "-a"), says: /--allow-root has no effect/ },
  { flags: "push --update-index", args: () => push("zlib-ish", "--update-index") },
  { flags: "push --rebuild-index", args: () => push("zlib-ish", "--rebuild-index") },
  { flags: "push --no-rebuild-index", args: () => push("zlib-ish", "--no-rebuild-index") },
  { flags: "push --spec-file", args: () => push("--spec-file", specFile) },
  { flags: "push -y/--spec-yaml", args: () => push("-y", specFile) },
  { flags: "push --only", args: () => push("hull", "--only", "package") },
  { flags: "push --no-deps", args: () => push("hull", "--no-deps") },
  { flags: "push --without-build-dependencies", args: () => push("hull", "--without-build-dependencies") },
  { flags: "push --fail-fast -j --private", args: () => push("zlib-ish", "--fail-fast", "-j", "2", "--private") },
  { flags: "push -r/--rel", args: () => push("zlib-ish", "-r"), status: 6, says: /relative paths are not supported/ },
  { flags: "push -d", args: () => ["push", "-u", "-d", to(), "zlib-ish", ...from] },
  {
    flags: "push --from",
    args: () => ["push", `oci-layout:${temporaryFolder()}`, "hull", "--from", mirror, "-u", "-t", "a"],
  },
  { flags: "list -f -l -L -v -N -a", args: () => ["list", mirror, "-f", "-lvNa", "hull"], says: /hull@1\.10\.1/ },
  {
    flags: "list -a/--allarch --arch",
    args: () => ["list", mirror, "--allarch", "--arch", "hull"],
    says: /hull@1\.10\.1/,
  },
  {
    flags: "check -s -y --spec-yaml",
    args: () => ["check", "-m", mirror, "-s", `/${hash}`, "--spec-yaml", specFile, ...from],
  },
  { flags: "check -o", args: () => ["check", "-m", mirror, specFile, "-o", join(cwd, "rebuild.json")] },
  {
    ...{ flags: "check --rebuild-on-error", args: () => ["check", "-m", mirror, specFile, "--rebuild-on-error"] },
    ...{ status: 6, says: /not a reason to rebuild.*\n.*leave out --rebuild-on-error/ },
  },
  { flags: "download -s", args: () => ["download", "-m", mirror, "-s", "hull", "-p", temporaryFolder()], says: HULL },
  {
    flags: "download --spec-yaml",
    args: () => ["download", "-m", mirror, "--spec-yaml", specFile, "-p", temporaryFolder()],
  },
  {
    flags: "download --require-cdashid",
    args: () => ["download", "-m", mirror, "hull", "--require-cdashid", "-p", temporaryFolder()],
    says: /--require-cdashid has no effect/,
  },
  {
    ...{ flags: "download -c", args: () => ["download", "-m", mirror, "-c", "hull", "-p", temporaryFolder()] },
    ...{ status: 2, says: /what Spack called --require-cdashid is not needed/ },
  },
  { flags: "get-buildcache-name -s", args: () => ["get-buildcache-name", "-s", "hull", ...from], says: HULL },
  {
    flags: "get-buildcache-name --spec-file",
    args: () => ["get-buildcache-name", "--spec-file", specFile],
    says: HULL,
  },
  { flags: "get-buildcache-name -y/--spec-yaml", args: () => ["name", "--spec-yaml", specFile], says: HULL },
  {
    flags: "save-specfile",
    args: () => ["save-specfile", "--root-spec", "hull", "-s", "hull", "--specfile-dir", temporaryFolder(), ...from],
    says: /hull\.json/,
  },
  {
    flags: "save-yaml --root-spec-yaml -y/--yaml-dir",
    args: () => ["save-yaml", "--root-spec-yaml", specFile, "-s", "zlib-ish", "-y", temporaryFolder()],
    says: /zlib-ish\.json/,
  },
  { flags: "preview", args: () => ["preview", "hull", ...from] },
  {
    flags: "install -f -u -o --multiple -a",
    args: () => ["install", mirror, "zlib-ish", "-fuoa", "--multiple", "--store", temporaryFolder(), "--no-env"],
  },
  { flags: "prune -k --dry-run", args: () => ["prune", mirror, "-k", keepList(), "--dry-run", "--no-env"] },
  { flags: "migrate -u -d -y", args: () => ["migrate", mirror, "-u", "-d", "-y", "--dry-run", "--no-env"] },
  { flags: "keys -f", args: () => ["keys", mirror, "-f"], says: /[0-9A-F]{40}/ },
  { flags: "check-index", args: () => ["check-index", mirror], status: 2, says: /use `stave index --check CACHE`/ },
  {
    flags: "mirror list, add, remove, destroy",
    args: () => ["mirror", "destroy"],
    status: 2,
    says: /use `stave config`.*`spack mirror` changes them/,
  },
  {
    flags: "gpg create",
    args: () => ["gpg", "create"],
    status: 2,
    says: /use list, trust or publish, and `spack gpg`/,
  },
];
for (const { flags, args, status = 0, says } of ROWS)
  test(flags, { skip: /^keys/.test(flags) ? noGpg : false }, async () => {
    const done = await run(args());
    assert.equal(done.status, status, done.stderr);
    if (says) assert.match(done.stdout + done.stderr, says);
  });

test("update-index -d --mirror-url -k, rebuild-index", async () => {
  const folder = await copiedMirror(3);
  for (const args of [
    ["update-index", "-d", folder],
    ["update-index", "--mirror-url", folder, "-k"],
    ["rebuild-index", folder],
  ]) {
    const done = await run([...args, "--no-env"]);
    assert.equal(done.status, 0, done.stderr);
  }
});

test("update-index --name writes a view of an environment, which -m reads; --append and --force", async () => {
  const folder = await copiedMirror(3);
  const environment = join(temporaryFolder(), "env");
  mkdirSync(environment);
  const { spec } = JSON.parse(readFileSync(specFile, "utf8"));
  const nodes = spec.nodes as { name: string; hash: string; dependencies?: { hash: string }[] }[];
  const lock = (name: string): void => {
    const root = nodes.find((node) => node.name === name);
    const all = new Map<string, (typeof nodes)[number]>();
    const add = (one: string): void => {
      const node = nodes.find((each) => each.hash === one);
      if (node === undefined || all.has(one)) return;
      all.set(one, node);
      for (const each of node.dependencies ?? []) add(each.hash);
    };
    add(root?.hash ?? "");
    writeFileSync(join(environment, "spack.yaml"), "spack:\n  specs: []\n");
    writeFileSync(
      join(environment, "spack.lock"),
      JSON.stringify({
        _meta: { "file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5 },
        roots: [{ hash: root?.hash, spec: name }],
        concrete_specs: Object.fromEntries(all),
      }),
    );
  };
  const index = (...more: string[]): ReturnType<typeof stave> =>
    run(["index", folder, "--name", "release", "-e", environment, ...more]);
  const listed = async (): Promise<string[]> => {
    const scope = temporaryFolder();
    writeFileSync(join(scope, "mirrors.yaml"), `mirrors:\n  m:\n    url: file://${folder}\n    view: release\n`);
    const { stdout, stderr } = await run(["list", "m", "-a", "--json", "--no-env", "-C", scope]);
    assert.notEqual(stdout, "", stderr);
    return JSON.parse(stdout).report.specs.map((one: { name: string }) => one.name);
  };
  lock("zlib-ish");
  const first = await index();
  assert.equal(first.status, 0, first.stderr);
  const small = await listed();
  assert.ok(small.includes("zlib-ish") && !small.includes("hull"), small.join(" "));
  const refused = await index();
  assert.match(refused.stderr, /has a view release already.*\n.*--append.*--force/);
  lock("hull");
  assert.equal((await index("--append")).status, 0);
  assert.ok((await listed()).includes("hull"));
  lock("zlib-ish");
  assert.equal((await index("-f")).status, 0);
  assert.deepEqual(await listed(), small);
  // As Spack spells it: a short flag, and the environments behind the mirror.
  const other = `${environment}-2`;
  cpSync(environment, other, { recursive: true });
  lock("hull");
  const spelt = await run(["update-index", folder, environment, other, "-n", "release", "-f", "-y", "--no-env"]);
  assert.equal(spelt.status, 0, spelt.stderr);
  assert.ok((await listed()).includes("hull"));
  lock("zlib-ish");
  assert.equal((await index("-f", "--dry-run")).status, 0);
  assert.ok((await listed()).includes("hull"), "a plan writes nothing");
  assert.equal((await index("-f")).status, 0);
  const unnamed = await run(["index", folder, environment]);
  assert.match(unnamed.stderr, /an index has every spec of its cache.*\n.*--name VIEW/);
  const whole = JSON.parse((await run(["list", folder, "-a", "--json"])).stdout).report.specs.length;
  assert.equal(whole, 8, "the index of the whole mirror stays");
  const images = await run(["index", `oci-layout:${temporaryFolder()}`, "--name", "x", "-e", environment]);
  assert.notEqual(images.status, 0);
});

test("sync --manifest-glob copies what lists of manifests name", async () => {
  const folder = temporaryFolder();
  const path = (readdirSync(join(mirror, "v3/manifests/spec"), { recursive: true }) as string[]).find((name) =>
    name.endsWith(`${hash}.spec.manifest.json`),
  );
  const url = (base: string): string => `file://${base}/v3/manifests/spec/${path}`;
  writeFileSync(join(folder, "one.json"), JSON.stringify({ [hash]: { src: url(mirror), dest: url(`${folder}/a`) } }));
  const flags = ["--manifest-glob", join(folder, "*.json"), "-u", "--no-env"];
  const done = await run(["sync", ...flags, "--json"]);
  assert.equal(done.status, 0, done.stderr);
  assert.equal(JSON.parse(done.stdout).report.specs.length, 1);
  assert.deepEqual(
    readFileSync(join(folder, "a/v3/manifests/spec", path ?? "")),
    readFileSync(join(mirror, "v3/manifests/spec", path ?? "")),
  );
  const other = await run(["sync", ...flags, `file://${folder}/b`]);
  assert.ok(existsSync(join(folder, "b/v3/manifests/spec", path ?? "")), other.stderr);
  writeFileSync(join(folder, "two.json"), JSON.stringify({ [hash]: { src: "file:///etc/passwd", dest: url(folder) } }));
  const wrong = await run(["sync", ...flags]);
  assert.match(wrong.stderr, /expected the URL of its manifest.*\[CONTENT_INVALID\]/);
  assert.match((await run(["sync", "--manifest-glob", join(folder, "none*"), "--no-env"])).stderr, /no file matches/);
});

test("copy --base-dir --spec-yaml --destination-url copies one spec between mirrors", async () => {
  const folder = temporaryFolder();
  const flags = ["--base-dir", mirror, "--spec-yaml", specFile];
  const done = await run(["copy", ...flags, "--destination-url", `file://${folder}`]);
  assert.equal(done.status, 0, done.stderr);
  assert.deepEqual(readdirSync(join(folder, "v3/manifests/spec")), ["hull"]);
  assert.match((await run(["copy", ...flags])).stderr, /belong together.*\n.*stave sync/);
  assert.match((await run(["copy", "one"])).stderr, /missing required argument 'dst'/);
});

test("gpg list, trust and publish use the gpg home of Spack", { skip: noGpg }, async () => {
  const home = gpgHome();
  const fingerprint = makeKey(home, "Release <release@example.org>");
  const env = { SPACK_GNUPGHOME: home };
  assert.match((await run(["gpg", "list"], env)).stdout, new RegExp(`^${fingerprint} .*\\(secret key\\)\n$`));
  const folder = temporaryFolder();
  const published = await run(["gpg", "publish", "-m", `file://${folder}`, "--update-index", "--no-env"], env);
  assert.match(published.stdout, new RegExp(`^published ${fingerprint}`), published.stderr);
  assert.match((await run(["keys", `file://${folder}`], env)).stdout, new RegExp(fingerprint));
  const file = join(folder, "key.pub");
  writeFileSync(file, gpg(home, ["--armor", "--export", fingerprint]));
  const other = { SPACK_GNUPGHOME: gpgHome() };
  assert.match((await run(["gpg", "trust", file], other)).stdout, new RegExp(`^trusted ${fingerprint}`));
  assert.match((await run(["gpg", "list"], other)).stdout, new RegExp(`^${fingerprint}`));
  assert.match((await run(["gpg", "publish", "nobody@none", "-m", `file://${folder}`], env)).stderr, /there is no key/);
});
