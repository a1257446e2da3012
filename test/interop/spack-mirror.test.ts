// Proves that real Spack lists, checks and installs what stave pushed to a mirror, signed and unsigned.
import assert from "node:assert/strict";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { stave } from "../support/cli.ts";
import { gpg, gpgHome, makeKey, noGpg } from "../support/gpg.ts";
import { run } from "../support/peers.ts";
import { goldenStore } from "../support/push.ts";
import { installation, isOld, movedGolden, skip, spackEnv, spackScope } from "../support/spack.ts";

const reason = skip || (isOld && "Spack 0.x cannot read layout 3") || noGpg;

test("real Spack lists, checks, and installs from a mirror that stave wrote, signed and unsigned", {
  skip: reason,
  timeout: 300_000,
}, async () => {
  // A short root: strings in programs cannot grow.
  const work = mkdtempSync(join(tmpdir(), "s-"));
  try {
    const home = gpgHome();
    makeKey(home, "pusher@stave");
    const { sysroot, store } = await goldenStore();
    const push = async (url: string, ...flags: string[]): Promise<void> => {
      const args = [
        "push",
        "--sysroot",
        sysroot,
        "--store",
        store.root,
        "--update-index",
        "--no-env",
        url,
        "fleet",
        ...flags,
      ];
      const ran = await stave(args, { env: { XDG_CACHE_HOME: work, SPACK_GNUPGHOME: home } });
      assert.equal(ran.status, 0, ran.stderr);
    };
    const urls = { signed: `file://${work}/signed`, plain: `file://${work}/plain` };
    await push(urls.signed);
    await push(urls.plain, "-u");
    // Spack trusts only what its own home has.
    const trusted = gpgHome();
    gpg(trusted, ["--import"], gpg(home, ["--armor", "--export"]));
    const program = join(installation?.root ?? "", "bin/spack");
    const [specFile = ""] = globSync(`${sysroot}${store.root}/*/**/fleet-*/.spack/spec.json`);
    for (const kind of ["signed", "plain"] as const) {
      const scope = spackScope(`${work}/${kind[0]}`, {
        "mirrors.yaml": `mirrors: {m: {url: "${urls[kind]}", signed: ${kind === "signed"}}}\n`,
      });
      const env = { ...spackEnv(join(work, kind)), SPACK_GNUPGHOME: trusted };
      const spack = (...args: string[]): Promise<string> => run(program, ["-C", scope, ...args], env);
      const listed = await spack("buildcache", "list", "--allarch", "--long");
      for (const name of ["fleet", "voyage", "paddle", "hull", "rigging", "zlib-ish", "gcc-runtime"])
        assert.match(listed, new RegExp(` ${name}@`), kind);
      await spack("install", "--cache-only", specFile);
      const [voyage = ""] = globSync(`${work}/${kind[0]}/**/voyage-*/bin/voyage`);
      assert.match(await run(voyage, []), /^voyage 420 from /);
      await spack("buildcache", "check", "-m", urls[kind], "-o", join(work, "check.json"), "fleet");
    }
    const [manifest = ""] = globSync(`${work}/signed/v3/manifests/spec/rigging/*`);
    writeFileSync(manifest, readFileSync(manifest, "utf8").replace('"contentLength":', '"contentLength":1'));
    const scope = spackScope(`${work}/x`, { "mirrors.yaml": `mirrors: {m: {url: "${urls.signed}"}}\n` });
    const env = { ...spackEnv(join(work, "x")), SPACK_GNUPGHOME: trusted };
    await assert.rejects(run(program, ["-C", scope, "install", "--cache-only", specFile], env));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

test("stave lists, checks, moves and installs what Spack 0.x pushed to a mirror, signed and unsigned", {
  skip: skip || (!isOld && "Spack 1.x writes layout 3; SPACK_ROOT names no Spack 0.x") || noGpg,
  timeout: 600_000,
}, async () => {
  const work = mkdtempSync(join(tmpdir(), "s-"));
  try {
    const home = gpgHome();
    makeKey(home, "pusher@stave");
    const scope = spackScope(await movedGolden(work));
    const program = join(installation?.root ?? "", "bin/spack");
    const env = { ...spackEnv(work), SPACK_GNUPGHOME: home };
    const own = { HOME: work, XDG_CACHE_HOME: join(work, "remembered"), SPACK_GNUPGHOME: home, SPACK_ROOT: "" };
    const ask = async (...args: string[]): Promise<string> => {
      const { status, stdout, stderr } = await stave([...args, "--no-env"], { env: own });
      assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
      return stdout;
    };
    for (const kind of ["signed", "unsigned"] as const) {
      const url = `file://${work}/${kind}`;
      const push = ["-C", scope, "buildcache", "push", `--${kind}`, "--update-index", "--private", url, "fleet"];
      await run(program, push, env);
      const files = globSync(`${work}/${kind}/build_cache/*.spec.json${kind === "signed" ? ".sig" : ""}`);
      const listed = JSON.parse(await ask("list", url, "-a", "--json")).report.specs;
      assert.equal(listed.length, files.length);
      assert.ok(files.length >= 6, `${files.length} specs`);
      const unsigned = kind === "signed" ? [] : ["-u"];
      assert.match(
        await ask("check", "-m", url, "--all", "--bytes"),
        new RegExp(`^${files.length} of ${files.length} `),
      );
      await ask("install", url, "fleet", "-o", "--store", join(work, `i${kind[0]}`), ...unsigned);
      assert.equal(globSync(`${work}/i${kind[0]}/**/voyage-*/bin/voyage`).length, 1);
      const moved = JSON.parse(await ask("sync", url, `${url}-3`, "--json", ...unsigned)).report;
      assert.deepEqual(new Set(moved.specs.map(({ outcome }: { outcome: string }) => outcome)), new Set(["linked"]));
      await ask("check", "-m", `${url}-3`, "--all", "--bytes");
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
