// Proves that `stave relocate` works on a store that real Spack wrote and that was moved by hand.
import assert from "node:assert/strict";
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { stave } from "../support/cli.ts";
import { unpackGolden } from "../support/golden.ts";
import { temporaryFolder } from "../support/tree.ts";

const root = temporaryFolder();
let stores = 0;
let source = "";
before(async () => {
  source = join(await unpackGolden("spack-1.2/store"), "store");
});

/** A copy of the golden store, whose files contain /opt/harbor/store. */
function copied(): string {
  const folder = join(root, `store-${stores++}`);
  cpSync(source, folder, { recursive: true, verbatimSymlinks: true });
  return folder;
}

function contents(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  return new Map(
    names.map((name) => {
      const stats = lstatSync(join(folder, name));
      if (stats.isSymbolicLink()) return [name, readlinkSync(join(folder, name))];
      return [name, stats.isFile() ? readFileSync(join(folder, name), "latin1") : "folder"];
    }),
  );
}

const prefix = (folder: string, name: string): string =>
  join(
    folder,
    "linux-x86_64",
    readdirSync(join(folder, "linux-x86_64")).find((each) => each.startsWith(`${name}-`)) ?? "",
  );

test("a store is changed from one root to another, as far as a dry run said, and once", async () => {
  const folder = copied();
  const old = contents(folder);
  const args = ["relocate", folder, "--from", "/opt/harbor/store/", "--to", "/opt/q/st", "--json"];
  const planned = JSON.parse((await stave([...args, "--dry-run"])).stdout).report;
  assert.deepEqual(contents(folder), old);
  const { report } = JSON.parse((await stave(args)).stdout);
  const { leftovers, dryRun, ...done } = report;
  const { leftovers: expected, dryRun: _, ...plan } = planned;
  assert.deepEqual([dryRun, done], [false, plan]);
  assert.deepEqual([report.from, report.to, report.hasDatabase], ["/opt/harbor/store", "/opt/q/st", true]);
  assert.deepEqual(leftovers, expected);
  assert.deepEqual(
    leftovers.map((path: string) => path.split("/").slice(2).join("/")),
    ["lib/libhull.a", "share/hull/nul.bin"],
  );
  assert.match(
    readFileSync(join(prefix(folder, "voyage"), "bin/depart"), "utf8"),
    /\/opt\/q\/st\/linux-x86_64\/voyage/,
  );
  assert.match(readlinkSync(join(prefix(folder, "rigging"), "abs-link")), /^\/opt\/q\/st\/linux/);
  const manifest = Object.keys(
    JSON.parse(readFileSync(join(prefix(folder, "hull"), ".spack/install_manifest.json"), "utf8")),
  );
  assert.ok(manifest.every((path) => path.startsWith("/opt/q/st/linux-x86_64/hull-")));
  assert.equal(report.manifests.length, 8);

  const state = contents(folder);
  const again = JSON.parse((await stave(args)).stdout).report;
  assert.deepEqual([again.texts, again.links, again.headers, again.strings, again.manifests], [[], [], [], [], []]);
  assert.deepEqual(contents(folder), state);
});

test("what is left is told, or changed with --all-files, or an error with --strict", async () => {
  const folder = copied();
  const args = ["relocate", folder, "--from", "/opt/harbor/store", "--to", "/opt/q/st"];
  const strict = await stave([...args, "--strict", "--dry-run"]);
  assert.equal(strict.status, 7);
  assert.match(
    strict.stderr,
    /2 files still name \/opt\/harbor\/store, the first is .*libhull\.a.*\[RELOCATION_FAILED\]\n.*--all-files/,
  );
  const dry = await stave([...args, "--dry-run"]);
  assert.match(dry.stderr, /1 file would still name \/opt\/harbor\/store:\n {2}\S+nul\.bin\n(?![\s\S]*libhull\.a)/);
  assert.match((await stave([...args, "--dry-run", "-v"])).stderr, /2 files would still name [\s\S]*libhull\.a\n/);
  const ran = await stave([...args, "--all-files", "--strict", "-v"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(
    ran.stdout,
    /^changed \d+ texts, \d+ links, \d+ programs and libraries, 2 other files from \/opt\/harbor\/store to \/opt\/q\/st\n$/,
  );
  assert.match(ran.stderr, /others: .*libhull\.a/);
  assert.match(ran.stderr, /spack reindex/);
  assert.doesNotMatch(ran.stderr, /still name/);
});

test("nothing is changed when something cannot be", async () => {
  const folder = copied();
  const old = contents(folder);
  const ran = await stave(["relocate", folder, "--from", "/opt/harbor/store", "--to", "/opt/harbor/another-store"], {
    env: { PATH: "/nowhere" },
  });
  assert.equal(ran.status, 7);
  assert.match(ran.stderr, /files cannot be relocated .*\[RELOCATION_FAILED\]/);
  assert.match(ran.stderr, /lib\/libhull\.so\.1\.2: .*takes the program patchelf/);
  assert.match(ran.stderr, /hint: .*install patchelf/);
  assert.deepEqual(contents(folder), old);
});

test("mistakes", async () => {
  const folder = join(root, "empty");
  mkdirSync(folder);
  writeFileSync(join(folder, "file"), "/opt/a");
  const cases: { args: string[]; status: number; says: RegExp }[] = [
    { args: [folder, "--to", "/b"], status: 2, says: /required option '--from <path>'/ },
    { args: [folder, "--from", "/a", "--to", "/a/"], status: 2, says: /both \/a, expected two places \[?/ },
    { args: [folder, "--from", "a", "--to", "/b"], status: 2, says: /from is "a", expected an absolute path/ },
    { args: [folder, "--from", "/", "--to", "/b"], status: 2, says: /from is "\/", expected an absolute path/ },
    { args: [folder, "--from", "/a/../c", "--to", "/b"], status: 2, says: /from is/ },
    { args: [folder, "--from", "/a", "--to", ""], status: 2, says: /to is ""/ },
    { args: [join(folder, "gone"), "--from", "/a", "--to", "/b"], status: 5, says: /gone is not a folder/ },
    { args: [join(folder, "file"), "--from", "/a", "--to", "/b"], status: 5, says: /file is not a folder/ },
  ];
  for (const { args, status, says } of cases) {
    const ran = await stave(["relocate", ...args]);
    assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stderr}`);
    assert.match(ran.stderr, says);
  }
});
