// Proves that real Spack works with a store that stave wrote: it reads the database, counts references the same way,
// verifies stave's lists, and misses what stave uninstalled.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { uninstall } from "../../lib/ops/store/uninstall.ts";
import { verify } from "../../lib/ops/store/verify.ts";
import { writeInventory } from "../../lib/relocate/place/inventory.ts";
import { readSpecFile } from "../../lib/spack/spec/spec-file.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { createStore } from "../../lib/store/create.ts";
import { updateDatabase } from "../../lib/store/write-database.ts";
import { systemClock } from "../../lib/util/time.ts";
import { unpackGolden } from "../support/golden.ts";
import { named } from "../support/push.ts";
import { installation, isOld, skip, spackScope } from "../support/spack.ts";
import { installsOf, locksOf, SPACK_0, SPACK_1 } from "../support/stores.ts";

test("real Spack works with a database that stave wrote", { skip, timeout: 300_000 }, async () => {
  assert.ok(installation);
  const golden = isOld ? SPACK_0 : SPACK_1;
  const work = mkdtempSync(join(tmpdir(), "stave-spack-store-"));
  try {
    const root = join(work, golden.folder);
    cpSync(join(await unpackGolden(golden.name), golden.folder), root, { recursive: true, verbatimSymlinks: true });
    const index = join(root, ".spack-db/index.json");
    const layout = join(root, isOld ? "linux-debian12-x86_64/gcc-12.2.0" : "linux-x86_64");
    rmSync(join(root, ".spack-db"), { recursive: true });
    const scope = spackScope(root);
    const spack = (...args: string[]): string => {
      const program = join(installation?.root ?? "", "bin/spack");
      const ran = spawnSync(program, ["-C", scope, ...args], { encoding: "utf8", env: { ...process.env, HOME: work } });
      assert.ok(ran.status === 0 || args[0] === "verify", `spack ${args.join(" ")}: ${ran.stderr}`);
      return ran.stdout;
    };
    const open = (mayBeEmpty = false): Promise<Store> => Store.open(root, { clock: systemClock, mayBeEmpty });

    const prefixes = readdirSync(layout).filter((name) => !name.startsWith("."));
    const documents = prefixes.map((name) => readSpecFile(readFileSync(join(layout, name, ".spack/spec.json")), name));
    const empty = await open(true);
    await createStore(empty);
    if (isOld) writeFileSync(index, '{"database":{"version":"7","installs":{}}}');
    await using locks = locksOf(empty);
    const update = { clock: systemClock, locks };
    await updateDatabase(empty, update, () =>
      documents.map(({ root: node }) => ({ op: "add", node, explicit: node.name === "fleet" })),
    );
    const names = (text: string): string[] =>
      JSON.parse(text)
        .map((spec: { name: string }) => spec.name)
        .toSorted();
    const written = installsOf(index);
    assert.deepEqual(
      names(spack("find", "--json")),
      Object.values(written)
        .map(({ spec }) => spec.name)
        .toSorted(),
    );
    assert.deepEqual(names(spack("find", "--explicit", "--json")), ["fleet"]);

    const store = await open();
    for (const name of prefixes) await writeInventory(join(layout, name), { prefix: join(layout, name) });
    const check = isOld ? ["verify", "--json"] : ["verify", "manifest", "--json"];
    const differences = (text: string): Record<string, unknown> =>
      Object.assign(
        {},
        ...text
          .split("\n")
          .filter((line) => line.startsWith("{"))
          .map((line) => JSON.parse(line)),
      );
    // Spack expects a list for each external too.
    const installed = documents.map(({ root: { hash } }) => `/${hash}`);
    const spacks = (): unknown => differences(spack(...check, ...installed));
    const mine = async (): Promise<unknown> => {
      const { specs } = await verify({ store, records: [...store.records()], jobs: 2 });
      return Object.assign({}, ...specs.map((spec) => spec.differences));
    };
    assert.deepEqual([spacks(), await mine()], [{}, {}]);
    const hull = store.prefixOf(named(store, "hull"));
    appendFileSync(join(hull, "include/hull.h"), "\n");
    writeFileSync(join(hull, "added"), "");
    rmSync(join(hull, "lib/libhull.so"));
    chmodSync(join(hull, "lib"), 0o700);
    const found = await mine();
    assert.equal(Object.keys(found ?? {}).length, 4);
    assert.deepEqual(spacks(), found);

    // Spack's recount gives the same numbers.
    spack("reindex");
    const counts = (installs: typeof written): unknown =>
      Object.fromEntries(
        Object.entries(installs).map(([hash, { ref_count, installed, explicit }]) => [
          hash,
          { ref_count, installed, explicit },
        ]),
      );
    assert.deepEqual(counts(installsOf(index)), counts(written));

    await uninstall({ store: await open(), nodes: [named(store, "fleet")], dependents: false, ...update });
    assert.ok(!names(spack("find", "--json")).includes("fleet"));
    spack("mark", "--explicit", "voyage");
    assert.equal((await open()).get(named(store, "voyage").hash)?.explicit, true);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
