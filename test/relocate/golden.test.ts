// Proves that archives pushed by Spack, unpacked and relocated by stave, match Spack's own installations file by file.
import assert from "node:assert/strict";
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { RelocationReport } from "../../lib/relocate/tree/relocate-tree.ts";
import { failsWith } from "../support/errors.ts";
import { archives, relocate, type Unpacked } from "../support/golden-archives.ts";
import { expectedListing, listing } from "../support/golden-listing.ts";

for (const { layout, root, list } of [
  { layout: "spack-1.2/plain.oci", root: "/opt/q/st", list: "installed-at-opt-q-st" },
  { layout: "spack-1.2/padded.oci", root: "/opt/quayside/unpadded", list: "padded-installed-at-opt-quayside-unpadded" },
])
  describe(`${layout} at ${root} is what Spack installs there`, async () => {
    for await (const archive of archives(layout)) {
      const expected = expectedListing(list, archive.relative);
      // Not every spec of the cache was installed there.
      if (expected.length === 0) continue;
      test(archive.node.name, async () => {
        await relocate(archive, root);
        assert.deepEqual(listing(archive.directory).sort(), expected);
      });
    }
  });

const LONGER = "/opt/harbor/another-store";

async function named(layout: string): Promise<Map<string, Unpacked>> {
  const found = new Map<string, Unpacked>();
  for await (const archive of archives(layout)) found.set(archive.node.name, archive);
  return found;
}

describe("at a longer root", async () => {
  const specs = await named("spack-1.2/plain.oci");
  const get = (name: string): Unpacked => specs.get(name) ?? assert.fail(`no ${name}`);

  test("hull fails with the file, the string and the room there is", async () => {
    const before = listing(get("hull").directory);
    const error = await failsWith(
      "RELOCATION_FAILED",
      relocate(get("hull"), LONGER, { dryRun: true, findPatchelf: () => "/x" }),
    );
    assert.match(error.message, /lib\/libhull\.so\.1\.2: in the string "\/opt\/harbor\/store\/linux-x86_64\/hull-/);
    assert.match(error.message, /room for a prefix of 75 bytes, "\/opt\/harbor\/another-store\/.*" has 83/);
    assert.match(error.hint ?? "", /shorter root.*padded_length/);
    assert.deepEqual(listing(get("hull").directory), before);
  });

  test("what only has texts and links can be installed", async () => {
    const { texts, links, ...rest } = await relocate(get("rigging"), LONGER);
    assert.deepEqual({ texts, links }, { texts: ["lib/pkgconfig/rigging.pc"], links: ["abs-link"] });
    assert.deepEqual(rest, { headers: [], patched: [], strings: [], machO: [], others: [] });
    assert.match(readlinkSync(join(get("rigging").directory, "abs-link")), /^\/opt\/harbor\/another-store\/linux/);
  });

  test("without patchelf a search path that must grow is an error that names it", async () => {
    const error = await failsWith("RELOCATION_FAILED", relocate(get("zlib-ish"), LONGER), /lib\/libzi\.so: .*patchelf/);
    assert.match(error.hint ?? "", /install patchelf/);
  });
});

for (const [layout, root] of [
  ["spack-1.2/plain.oci", "/opt/q/st"],
  ["spack-0.23/plain.oci", "/opt/q/st23"],
  ["spack-0.23/plain.oci", "/opt/another/store"],
] as const)
  describe(`${layout} at ${root}`, async () => {
    for await (const archive of archives(layout))
      test(`${archive.node.name}: a dry run says what a run does, and a second run has nothing to do`, async () => {
        const before = listing(archive.directory);
        const planned = await relocate(archive, root, { dryRun: true });
        assert.deepEqual(listing(archive.directory), before);
        assert.deepEqual(await relocate(archive, root), planned);
        const after = listing(archive.directory);
        if (archive.node.name !== "gcc-runtime" && archive.node.name !== "compiler-wrapper")
          assert.notDeepEqual(after, before);
        const nothing: RelocationReport = {
          texts: [],
          links: [],
          headers: [],
          patched: [],
          strings: [],
          machO: [],
          others: [],
        };
        assert.deepEqual(await relocate(archive, root), nothing);
        assert.deepEqual(listing(archive.directory), after);
        for (const path of [...planned.texts, ...planned.headers, ...planned.strings])
          assert.ok(!readFileSync(join(archive.directory, path)).includes("/opt/harbor/store"), path);
      });
  });
