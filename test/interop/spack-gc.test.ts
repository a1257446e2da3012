// Proves that `stave gc` plans to remove exactly what real Spack's `spack gc` then removes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CACHE, skipShared, withSharedStore } from "../support/shared-store.ts";

const hashes = (text: string): string[] =>
  JSON.parse(text)
    .report.specs.map(({ hash }: { hash: string }) => hash)
    .toSorted();

test("stave and Spack agree on what is not needed", { skip: skipShared, timeout: 300_000 }, async () => {
  await withSharedStore(async ({ stave, spack }) => {
    await stave("install", CACHE, "hull", "-o");
    // What `run` installs is not asked for.
    await stave("run", CACHE, "fleet", "-o", "--", "voyage");
    for (const flags of [["-b"], []]) {
      const before = hashes(await stave("find", "--json"));
      const planned = hashes(await stave("gc", "--plan", "--json", "--grace", "0s", "--keep-runs", "0s", ...flags));
      assert.ok(planned.length > 0);
      spack("gc", "-y", ...flags);
      const after = hashes(await stave("find", "--json"));
      assert.deepEqual(
        planned,
        before.filter((hash) => !after.includes(hash)),
        flags.join(" "),
      );
    }
  });
});
