// Proves that `stave verify` works with lists written by stave and by Spack.
import assert from "node:assert/strict";
import {
  chmodSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { writeInventory } from "../../lib/relocate/place/inventory.ts";
import type { Store } from "../../lib/spack/store/store.ts";
import { stave } from "../support/cli.ts";
import { named } from "../support/push.ts";
import { copyOf, FROM_CACHE, openStore, SPACK_1 } from "../support/stores.ts";

const flags = (sysroot: string, root = SPACK_1.root): string[] => ["--store", root, "--sysroot", sysroot, "--no-env"];

async function given(): Promise<{ sysroot: string; store: Store; directory: string; prefix: string }> {
  const sysroot = await copyOf(SPACK_1);
  const store = await openStore(SPACK_1, sysroot);
  const prefix = store.prefixOf(named(store, "hull"));
  const directory = store.locate(prefix);
  await writeInventory(directory, { prefix });
  return { sysroot, store, directory, prefix };
}

test("a prefix as it was installed has no differences", async () => {
  const { sysroot } = await given();
  const ran = await stave(["verify", "hull", ...flags(sysroot)]);
  assert.equal(ran.status, 0, ran.stdout + ran.stderr);
  assert.match(ran.stdout, /^1 package, \d+ files, links and folders: all as they were installed\n$/);
  const json = JSON.parse((await stave(["verify", "hull", "--json", ...flags(sysroot)])).stdout).report;
  assert.deepEqual([json.differing, json.specs[0].differences, json.specs[0].entries > 10], [0, {}, true]);
});

test("everything that was changed is told, in Spack's words", async () => {
  const { sysroot, directory, prefix } = await given();
  const place = (name: string): string => join(directory, name);
  const manifest: Record<string, { hash?: string; dest?: string; size?: number }> = JSON.parse(
    readFileSync(place(".spack/install_manifest.json"), "utf8"),
  );
  const files = Object.keys(manifest)
    .filter((path) => (manifest[path]?.size ?? 0) > 1)
    .map((path) => path.slice(prefix.length + 1));
  const [content, mode, gone, time, owner] = files.filter((path) => !path.startsWith(".spack"));
  const link = Object.keys(manifest)
    .find((path) => manifest[path]?.dest !== undefined)
    ?.slice(prefix.length + 1);
  assert.ok(content && mode && gone && time && link && owner);
  const bytes = readFileSync(place(content));
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  writeFileSync(place(content), bytes);
  utimesSync(place(content), 2, 2);
  chmodSync(place(mode), 0o700);
  rmSync(place(gone));
  utimesSync(place(time), 1, 1.5);
  rmSync(place(link));
  symlinkSync("elsewhere", place(link));
  mkdirSync(place("added\u00e9"));
  const expected: Record<string, string[]> = {
    [content]: ["mtime", "hash"],
    [mode]: ["mode"],
    [gone]: ["deleted"],
    [time]: ["mtime"],
    [link]: ["link"],
    "added\u00e9": ["added"],
  };
  if (process.getuid?.() === 0) {
    lchownSync(place(owner), 1, 1);
    expected[owner] = ["owner", "group"];
  }
  const ran = await stave(["verify", "hull", "--json", ...flags(sysroot)]);
  assert.equal(ran.status, 1, ran.stderr);
  const [spec] = JSON.parse(ran.stdout).report.specs;
  const found = Object.fromEntries(
    Object.entries(spec.differences).map(([path, all]) => [path.slice(prefix.length + 1), all]),
  );
  assert.deepEqual(found, expected);
  const text = await stave(["verify", "hull", ...flags(sysroot)]);
  assert.match(text.stdout, new RegExp(`${prefix}/${gone}: deleted\n`));
  assert.match(text.stdout, /1 package with differences\n$/);
});

test("lists that are missing, damaged or of another prefix are told, and externals left out", async () => {
  const { sysroot, store, directory, prefix } = await given();
  const manifest = join(directory, ".spack/install_manifest.json");
  const at = async (): Promise<unknown> => {
    const ran = await stave(["verify", "hull", "--json", ...flags(sysroot)]);
    assert.equal(ran.status, 1);
    return JSON.parse(ran.stdout).report.specs[0].differences;
  };
  writeFileSync(manifest, '{"/x');
  assert.deepEqual(await at(), { [prefix]: ["manifest corrupted"] });
  rmSync(manifest);
  assert.deepEqual(await at(), { [prefix]: ["manifest missing"] });
  rmSync(store.locate(prefix), { recursive: true });
  assert.deepEqual(await at(), { [prefix]: ["prefix missing"] });
  const absent = await stave(["verify", "absent", ...flags(sysroot)]);
  assert.deepEqual(
    [absent.status, /no spec of the store .* matches absent/.test(absent.stderr)],
    [7, true],
    absent.stderr,
  );
  const other = await copyOf(FROM_CACHE);
  const all = await stave(["verify", "--json", ...flags(other, FROM_CACHE.root)]);
  const { specs, differing } = JSON.parse(all.stdout).report;
  assert.deepEqual([all.status, specs.length, differing], [1, 7, 7]);
  for (const spec of specs) assert.deepEqual(spec.differences, { [spec.prefix]: ["manifest of another prefix"] });
});
