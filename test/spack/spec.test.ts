import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { writeJson } from "../../lib/spack/json.ts";
import { BUILD, LINK, RUN } from "../../lib/spack/node.ts";
import { readSpecFile } from "../../lib/spack/spec.ts";
import { unpackGolden } from "../support/golden.ts";

const STORES = [
  ["spack-1.2/store", 5, 8],
  ["spack-0.23/store", 4, 7],
  ["spack-1.2/installed-at-opt-q-st", 5, 7],
] as const;

for (const [name, format, count] of STORES)
  test(`reads every spec.json of ${name}`, async () => {
    const folder = await unpackGolden(name);
    const files = globSync("**/.spack/spec.json", { cwd: folder });
    assert.equal(files.length, count);
    for (const file of files) {
      const document = readSpecFile(readFileSync(join(folder, file)), file);
      assert.equal(document.format, format);
      assert.ok(file.includes(`${document.root.name}-${document.root.version}-${document.root.hash}`));
    }
  });

test("reads the fields of a node", async () => {
  const folder = await unpackGolden("spack-0.23/store");
  const [file = ""] = globSync("**/voyage-*/.spack/spec.json", { cwd: folder });
  const { root, graph } = readSpecFile(readFileSync(join(folder, file)), file);
  assert.deepEqual(root.compiler, { name: "gcc", version: "12.2.0" });
  assert.deepEqual([root.namespace, root.platform, root.os, root.target], ["shipyard", "linux", "debian12", "x86_64"]);
  const paddle = root.edges.find((edge) => edge.child.name === "paddle");
  assert.equal(paddle?.types, BUILD | LINK);
  assert.deepEqual(paddle?.virtuals, ["propulsion"]);
  assert.equal(root.edges.find((edge) => edge.child.name === "rigging")?.types, BUILD | RUN);
  const glibc = [...graph.nodes()].find((node) => node.name === "glibc");
  assert.deepEqual(glibc?.external, { path: "/usr", modules: [], extraAttributes: {} });
  assert.ok(glibc && graph.virtualsOf(glibc).has("libc"));
  assert.ok(writeJson(root.raw).startsWith('{"name":"voyage"'));
});
