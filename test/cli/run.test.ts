// Proves that `stave run` installs what is missing into the user's own store, and becomes the program: its exit status,
// its streams, its signals; and that the second run sends no request.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { currentHost } from "../../lib/api/machine/read-machine.ts";
import { processSurroundings } from "../../lib/api/machine/surroundings.ts";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { startRegistry } from "../support/registry.ts";

// Short: the binaries of the cache are not padded.
const work = mkdtempSync("/tmp/");
const env = { HOME: work, SPACK_ROOT: "", XDG_CACHE_HOME: "", XDG_DATA_HOME: "", STAVE_STORE: "" };
const registry = await startRegistry();
cpSync(golden("spack-1.2/plain.oci"), join(registry.directory, "cache"), { recursive: true });
after(async () => {
  await registry.close();
  rmSync(work, { recursive: true, force: true });
});
const cache = `oci+http://${registry.host}/cache`;
const own = join(work, ".local/share/stave/store");

/** Runs stave; it must end with the status. Returns both outputs together. */
async function run(args: string[], status = 0, more: Record<string, string> = {}, cwd = work): Promise<string> {
  const ran = await stave(args, { cwd, env: { ...env, ...more } });
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}

test("a dry run installs nothing", async () => {
  assert.match(
    await run(["run", cache, "fleet", "-o", "--plan", "--", "voyage"]),
    /would install 7 specs into .*store/,
  );
  assert.ok(!existsSync(own));
  assert.match(await run(["run", cache, "fleet", "-o", "--offline", "--", "voyage"], 7), /not installed for `run` yet/);
});

test("two at once: what is missing is installed once, and the program runs", async () => {
  const both = await Promise.all([1, 2].map(() => run(["run", cache, "fleet", "-o", "--", "voyage"])));
  for (const said of both) assert.match(said, /voyage 420 from /);
  assert.equal(readdirSync(own).filter((name) => /^[a-z2-7]{10}$/.test(name)).length, 7);
});

test("the second run sends no request, works offline, and --refresh looks again", async () => {
  registry.requests.length = 0;
  assert.match(await run(["run", cache, "fleet", "-o", "--", "voyage"]), /voyage 420/);
  assert.match(await run(["run", cache, "fleet", "-o", "--offline", "--", "voyage"]), /voyage 420/);
  assert.equal(registry.requests.length, 0);
  assert.match(await run(["run", cache, "fleet", "-o", "--refresh", "--", "voyage"]), /voyage 420/);
  assert.ok(registry.requests.length > 0);
});

/** The files of stave that a run loads. */
async function loadedBy(args: string[], more: Record<string, string> = {}): Promise<string[]> {
  const list = join(work, "loaded");
  rmSync(list, { force: true });
  const hook = `import{registerHooks}from"node:module";import{appendFileSync}from"node:fs";registerHooks({load(url,context,next){if(url.startsWith("file:"))appendFileSync(${JSON.stringify(list)},url+"\\n");return next(url,context)}})`;
  await run(args, 0, { ...more, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` });
  // A native library, for the pipes of this test: Node makes them non-blocking.
  return readFileSync(list, "utf8")
    .trim()
    .split("\n")
    .filter((file) => !file.includes("/koffi-"));
}

test("a repeated run loads two small files, until something changes that decides what is run", async () => {
  const home = join(work, "h");
  mkdirSync(join(home, "bin"), { recursive: true });
  writeFileSync(join(home, "spec.json"), "{}");
  const settings = {
    HOME: home,
    PATH: `${home}/bin:${process.env["PATH"]}`,
    XDG_DATA_HOME: join(work, ".local/share"),
  };
  const args = ["run", "-c", "config:locks:true", "--insecure-no-signature-check", cache, "fleet", "-o", "--", "true"];
  const isQuick = async (more: Record<string, string> = {}): Promise<boolean> => {
    const files = await loadedBy(args, { ...settings, ...more });
    const size = files.reduce((sum, file) => sum + statSync(new URL(file)).size, 0);
    return files.length <= 2 && size < 80_000;
  };
  assert.equal(await isQuick(), false);
  assert.equal(await isQuick(), true);
  assert.equal(await isQuick({ OTHER: "x" }), true);
  const changes: [name: string, path: string, content: string][] = [
    ["Spack's configuration", ".spack/mirrors.yaml", "mirrors: {}"],
    ["a trust policy", ".config/stave/trust.json", '{"version":1,"default":{"require":"none"}}'],
    ["a Spack on the PATH", "bin/spack", "#!/bin/sh\n"],
  ];
  for (const [name, path, content] of changes) {
    const folder = path.split("/")[0] ?? "";
    const wasThere = existsSync(join(home, folder));
    mkdirSync(join(home, path, ".."), { recursive: true });
    writeFileSync(join(home, path), content, { mode: 0o755 });
    assert.equal(await isQuick(), false, name);
    rmSync(join(home, wasThere ? path : folder), { recursive: true });
    assert.equal(await isQuick(), true, `${name} is gone`);
  }
  for (const more of [{ SPACK_DISABLE_LOCAL_CONFIG: "1" }, { STAVE_CACHE: cache }, { SPACK_SYSTEM_CONFIG_PATH: home }])
    assert.equal(await isQuick(more), false, JSON.stringify(more));
  assert.equal(await isQuick(), false);
  assert.equal(await isQuick(), true);
  // What asks for more than the program is read as a whole.
  assert.ok((await loadedBy(["run", "--refresh", ...args.slice(1)], settings)).length > 2);
  assert.ok((await loadedBy(["run", "--refresh", ...args.slice(1)], settings)).length > 2);
  // A program that is not there is told with all that is known.
  assert.match(await run([...args.slice(0, -1), "voyagr"], 5, settings), /hint: did you mean voyage\?/);
  // A prefix that is gone is installed again.
  const name = readdirSync(own).find((one) => existsSync(join(own, one, "bin/voyage"))) ?? "";
  rmSync(join(own, name), { recursive: true });
  assert.equal(await isQuick(), false);
  assert.ok(existsSync(join(own, name, "bin/voyage")));
});

test("a run of a spec file is another one when the file has another spec", async () => {
  const folder = join(work, "files");
  await run(["save-specfile", "--store", own, "--root-spec", "fleet", "-s", "hull zlib-ish", "--specfile-dir", folder]);
  const planned: string[] = [];
  for (const name of ["hull", "zlib-ish"]) {
    copyFileSync(join(folder, `${name}.json`), join(work, "one.json"));
    const args = ["run", cache, "./one.json", "-o"];
    await run([...args, "--", "true"]);
    planned.push(JSON.parse(await run([...args, "--plan", "--json", "--", "true"])).report.specs.join());
  }
  assert.notEqual(planned[0], planned[1]);
});

test("another folder, variable or day does not make it another run", async () => {
  const args = ["run", "-c", `concretizer:os_compatible:${currentHost(processSurroundings()).os}:[debian12]`];
  const voyage = [...args, cache, "hull", "--", "env"];
  await run(voyage);
  registry.requests.length = 0;
  assert.match(await run(voyage, 0, { MORE: "1" }, tmpdir()), /MORE=1/);
  assert.equal(registry.requests.length, 0);
});

test("what is gone is installed again", async () => {
  rmSync(own, { recursive: true });
  assert.match(await run(["run", cache, "fleet", "-o", "--", "voyage"]), /voyage 420/);
});

test("the exit status is the program's; what cannot be run is told", async () => {
  const args = ["run", cache, "fleet", "-o", "--"];
  await run([...args, "sh", "-c", "exit 9"], 9);
  assert.match(await run([...args, "nosuchprogram"], 5), /none of the specs has a program nosuchprogram/);
  assert.match(await run([...args, "voyagr"], 5), /hint: did you mean voyage\?/);
  mkdirSync(join(work, "folder"));
  assert.match(await run([...args, "./folder"], 10), /is not a program/);
  writeFileSync(join(work, "data"), "x", { mode: 0o644 });
  assert.match(await run([...args, "./data"], 10), /cannot run|EACCES/);
  writeFileSync(join(work, "plain"), "echo plain $1\n", { mode: 0o755 });
  assert.equal(await run([...args, "./plain", "word"]), "plain word\n");
  assert.match(await run(["run", cache, "fleet"], 2), /stave run .* fleet -- PROGRAM/);
  assert.match(await run(["run", cache, "fleet", "voyage"], 2), /stave run \S+ fleet -- voyage/);
  assert.match(await run(["run", "fleet", "voyage"], 2), /stave run fleet -- voyage/);
  assert.match(await run(["run", "fleet"], 2), /stave run fleet -- PROGRAM/);
  assert.match(await run(["run", "--", "voyage"], 5), /no cache was named/);
  assert.match(await run(["run", cache, "nope", "-o", "--", "voyage"], 7), /nope is not in/);
  assert.match(
    await run(["run", cache, "fleet", "--", "voyage"], 0, { HOME: "" }).catch(String),
    /HOME|CONFIG_INVALID/,
  );
});

test("streams and signals are as if the program had been started directly", async () => {
  const stdio = `"${process.execPath}" "${resolve("dist/stave.js")}" run ${cache} fleet -o --`;
  const shell = (script: string): Promise<string> =>
    new Promise((done, fail) => {
      const child = spawn("bash", ["-c", script], { env: { ...process.env, ...env }, cwd: work });
      let said = "";
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (bytes: Buffer) => {
          said += bytes.toString();
        });
      child.once("error", fail);
      child.once("close", () => done(said));
    });
  assert.equal(await shell(`(sleep 0.5; echo later) | ${stdio} cat`), "later\n");
  assert.equal(await shell(`set -o pipefail; ${stdio} yes | head -1; echo $?`), "y\n141\n");
});

test("the image of an environment stands for its specs", async () => {
  const { sysroot } = await goldenStore();
  const store = ["--sysroot", sysroot, "--store", "/opt/harbor/store", "--no-env"];
  const to = `oci+http://${registry.host}/images`;
  await run(["push", to, "fleet", "--tag", "app", "--no-check-run", ...store]);
  assert.match(await run(["run", `${to}:app`, "-o", "--", "voyage"]), /voyage 420/);
  const bare = `${registry.host}/images:app`;
  assert.match(await run(["run", bare, "-o", "--", "voyage"]), /voyage 420/);
  assert.match(await run(["run", `${to}:app`, "hull", "-o", "--", "voyage"], 2), /has specs of its own/);
  assert.match(await run(["run", `${cache}:fleet-env`, "-o", "--", "voyage"], 5), /not the image of an environment/);
});

test("the image of an environment must satisfy the policy and --key itself", async () => {
  const { sysroot } = await goldenStore();
  const store = ["--sysroot", sysroot, "--store", "/opt/harbor/store", "--no-env"];
  const to = `oci+http://${registry.host}/signed`;
  const password = { COSIGN_PASSWORD: "x" };
  await run(["keygen", "good"], 0, password);
  await run(["push", to, "fleet", "--tag", "app", "--no-check-run", "--update-index", ...store]);
  await run(["sign", to, "--key", "good.key", "--all"], 0, password);
  // Every spec is signed; this image of some of them is not.
  await run(["push", to, "hull", "--tag", "added", "--no-check-run", ...store]);
  const signers = { good: { key: "good.pub" } };
  const policy = { version: 1, default: { require: "signature", signers: ["good"] }, signers };
  writeFileSync(join(work, "trust.json"), JSON.stringify(policy));
  for (const trust of [
    ["--key", "good.pub"],
    ["--trust", "trust.json"],
  ]) {
    assert.match(await run(["run", `${to}:added`, "-o", ...trust, "--", "env"], 8), /signed:added has no .*signature/);
    assert.match(await run(["run", `${to}:app`, "-o", ...trust, "--", "voyage"]), /voyage 420/);
  }
});

test("a run is remembered no longer than what allowed it", async () => {
  const from = `oci+http://${registry.host}/signed`;
  const password = { COSIGN_PASSWORD: "x" };
  await run(["keygen", "other"], 0, password);
  mkdirSync(join(work, "elsewhere"));
  const good = readFileSync(join(work, "good.pub"));
  const other = readFileSync(join(work, "other.pub"));
  const args = (...trust: string[]): string[] => ["run", from, "fleet", "-o", ...trust, "--", "voyage"];
  const isRefused = async (why: RegExp, trust: string[], cwd = work): Promise<void> => {
    for (const refresh of [[], ["--refresh"]])
      assert.match(await run(args(...trust, ...refresh), 8, {}, cwd), why, trust.join(" "));
  };

  // The key of another folder has the same name.
  copyFileSync(join(work, "other.pub"), join(work, "elsewhere/good.pub"));
  assert.match(await run(args("--key", "good.pub")), /voyage 420/);
  registry.requests.length = 0;
  assert.match(await run(args("--key", "good.pub")), /voyage 420/);
  assert.equal(registry.requests.length, 0);
  await isRefused(/no valid signature/, ["--key", "good.pub"], join(work, "elsewhere"));
  // The key was replaced.
  writeFileSync(join(work, "good.pub"), other);
  await isRefused(/no valid signature/, ["--key", "good.pub"]);
  await isRefused(/no valid signature/, ["--trust", "trust.json"]);
  writeFileSync(join(work, "good.pub"), good);

  // A dependency that is installed is revoked.
  const list = await fetch(`http://${registry.host}/v2/signed/tags/list`);
  const { tags } = (await list.json()) as { tags: string[] };
  const hull = tags.find((tag) => tag.startsWith("hull-"));
  const image = await fetch(`http://${registry.host}/v2/signed/manifests/${hull}`, { method: "HEAD" });
  const policy = JSON.parse(readFileSync(join(work, "trust.json"), "utf8"));
  for (const rules of [policy, { version: 1, default: { require: "none" } }]) {
    writeFileSync(join(work, "trust.json"), JSON.stringify(rules));
    assert.match(await run(args("--trust", "trust.json")), /voyage 420/);
    const revoked = { digests: [image.headers.get("docker-content-digest")] };
    writeFileSync(join(work, "trust.json"), JSON.stringify({ ...rules, revoked }));
    await isRefused(/is revoked/, ["--trust", "trust.json"]);
  }
});

test("a record in a folder that others may write is not used", async () => {
  const args = ["run", cache, "fleet", "-o", "--", "voyage"];
  const shared = { XDG_CACHE_HOME: join(work, "shared") };
  assert.equal((await run(args, 0, shared)).includes("not remembered"), false);
  const folder = join(work, "shared/stave/run");
  const [entry = ""] = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.includes("/"));
  const record = JSON.parse(readFileSync(join(folder, entry), "utf8"));
  record.modifications.push({ op: "set", name: "PLANTED", value: "yes" });
  writeFileSync(join(folder, entry), JSON.stringify(record));
  const env = [...args.slice(0, -1), "env"];
  assert.match(await run(env, 0, shared), /PLANTED=yes/);
  chmodSync(folder, 0o777);
  const said = await run(env, 0, shared);
  assert.match(said, /runs are not remembered, because .*shared\/stave\/run is not a folder that only you can change/);
  assert.doesNotMatch(said, /PLANTED/);
});

test("a damaged, foreign, linked or huge record is as good as none", async () => {
  const args = ["run", cache, "fleet", "-o", "--", "voyage"];
  const mine = { XDG_CACHE_HOME: join(work, "damaged") };
  await run(args, 0, mine);
  await run(args, 0, mine);
  const folder = join(work, "damaged/stave");
  const entries = ["run", "run-line"].flatMap((kind) =>
    readdirSync(join(folder, kind), { recursive: true, encoding: "utf8" })
      .filter((name) => name.includes("/"))
      .map((name) => join(folder, kind, name)),
  );
  assert.equal(entries.length, 2);
  const set = '{"op":"set","name":"PLANTED","value":"yes"';
  const texts = ["", "{", "null", "[1]", '{"specs":[],"names":[],"prefixes":[]}'];
  for (const wrong of [`${set},"more":"x"}`, '{"op":"constructor","name":"A"}', '{"op":"unset","name":1}', "null"])
    texts.push(`{"specs":[],"names":[],"prefixes":[],"modifications":[${wrong}]}`);
  const changes: ((entry: string) => void)[] = [
    ...texts.map((text) => (entry: string) => writeFileSync(entry, text)),
    (entry) => truncateSync(entry, 5_000_000_000),
    (entry) => {
      rmSync(entry);
      symlinkSync("/dev/zero", entry);
    },
  ];
  for (const change of changes) {
    for (const entry of entries) change(entry);
    assert.match(await run(args, 0, mine), /voyage 420/);
  }
  for (const entry of entries) changes.at(-2)?.(entry);
  assert.match(await run(["gc", "--plan", "--store", own], 0, mine), /would remove|nothing to remove/);
});

test("relative paths in XDG variables are ignored", async () => {
  const relative = { XDG_CACHE_HOME: "some/cache", XDG_DATA_HOME: "some/data", XDG_STATE_HOME: "some/state" };
  assert.match(await run(["run", cache, "fleet", "-o", "--", "voyage"], 0, relative), /voyage 420/);
  assert.ok(!existsSync(join(work, "some")));
});

test("a mirror is a cache as any other", async () => {
  await run(["sync", `oci-layout:${golden("spack-1.2/plain.oci")}`, `file://${work}/mirror`, "-u"]);
  assert.match(await run(["run", "-u", `file://${work}/mirror`, "fleet", "-o", "--", "voyage"]), /voyage 420/);
});

test("a home folder that cannot be written is told; another store does", async () => {
  // Not even root can make a folder there.
  const readOnly = { HOME: "/proc/sys" };
  const args = ["run", cache, "fleet", "-o"];
  assert.match(
    await run([...args, "--", "voyage"], 5, readOnly),
    /cannot make folder \/proc\/sys\/\.local[\s\S]*hint: name another folder with --store DIR/,
  );
  assert.match(await run([...args, "--store", join(work, "w"), "--", "voyage"], 0, readOnly), /voyage 420/);
});

test("a new store of $STAVE_STORE gets short names, too; one of Spack keeps its own", async () => {
  const [mine, spacks] = [join(work, "mine"), join(work, "k")];
  const first = { STAVE_STORE: mine };
  await run(["run", cache, "zlib-ish", "-o", "--", "true"], 0, first);
  await run(["run", cache, "hull", "-o", "--", "true"], 0, first);
  const names = readdirSync(mine).filter((name) => !name.startsWith(".") && name !== "bin");
  assert.ok(names.length > 1 && names.every((name) => /^[a-z2-7]{10}$/.test(name)), names.join());
  await run(["install", cache, "zlib-ish", "-o", "--store", spacks, "--no-env"]);
  await run(["run", cache, "hull", "-o", "--", "true"], 0, { STAVE_STORE: spacks });
  assert.ok(!readdirSync(spacks).some((name) => /^[a-z2-7]{10}$/.test(name)));
});

test("find without a Spack says where the store of run is, and needs only its path", async () => {
  const said = await run(["find"], 2, { PATH: "/usr/bin:/bin" });
  assert.ok(said.includes(`what \`stave run\` installed is in ${own}`), said);
  assert.match(await run(["find", "--store", own]), /fleet/);
});
