// Proves that no name of a spec and no projection gives a prefix outside the store: each is refused or made harmless.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isStaveError } from "../../../lib/errors.ts";
import { isTag } from "../../../lib/oci/reference.ts";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import { readSpecDocument } from "../../../lib/spack/spec/spec-file.ts";
import { shortName, specTag } from "../../../lib/spack/spec/spec-name.ts";
import { projectedPath } from "../../../lib/spack/store/projection.ts";
import type { JsonObject } from "../../../lib/spack/text/json-value.ts";
import { placeInStore } from "../../../lib/store/prefix-place.ts";
import { madeSpec } from "../../support/caches.ts";
import { temporaryFolder } from "../../support/tree.ts";

const VALUES: readonly string[] = [
  "",
  ".",
  "..",
  "...",
  "/",
  "/etc",
  "../../canary",
  "a/b",
  "a/../../b",
  "..\\b",
  "a\0b",
  "a\nb",
  "\x1b]0;title\x07",
  "\u202eb",
  "-rf",
  "~",
  "$HOME",
  "{hash}",
  ".spack-db",
  "x".repeat(300),
  "x".repeat(100_000),
];

/** Where a value can occur in a node. */
const FIELDS: Readonly<Record<string, (node: JsonObject, value: string) => JsonObject>> = {
  name: (node, name) => ({ ...node, name }),
  version: (node, version) => ({ ...node, version }),
  hash: (node, hash) => ({ ...node, hash }),
  namespace: (node, namespace) => ({ ...node, namespace }),
  platform: (node, platform) => inArchitecture(node, { platform }),
  os: (node, platform_os) => inArchitecture(node, { platform_os }),
  target: (node, target) => inArchitecture(node, { target }),
  variant: (node, value) => ({ ...node, parameters: { build_system: value, [value]: value } }),
};

const inArchitecture = (node: JsonObject, more: JsonObject): JsonObject => ({
  ...node,
  arch: { platform: "linux", platform_os: "debian12", target: "x86_64", ...more },
});

const PROJECTIONS: readonly string[] = [
  "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}",
  "{architecture}/{compiler.name}-{compiler.version}/{name}-{version}-{hash}",
  "{name}",
  "{version}",
  "{namespace}",
  "{namespace}/{name}/{version}",
  "{architecture.platform}/{architecture.os}/{architecture.target}",
  "{variants.build_system.value}/{hash}",
  "a/{version}/../{name}",
  "../{name}",
  "/etc/{name}",
  "{name}/../../canary",
  ".spack-db/{name}",
  "a\0/{name}",
  "~/{name}",
  "",
  ".",
];

test("names of specs, and projections", async () => {
  const root = join(temporaryFolder(), "store");
  mkdirSync(root);
  const store = { root, locate: (path: string) => path };
  const { raw } = madeSpec("ship", "1.0").root;
  let [read, placed] = [0, 0];
  for (const [field, change] of Object.entries(FIELDS))
    for (const value of VALUES) {
      const what = `${field} ${JSON.stringify(value.slice(0, 40))}`;
      const node = readIfRight(change(raw, value));
      if (node === undefined) continue;
      read++;
      const tag = refusedOr(() => specTag(node));
      assert.ok(tag === undefined || isTag(tag) || tag.length > 128, `${what}: ${tag}`);
      assert.match(shortName(node), /^[^\p{Cc}\u202e]*$/u, what);
      // It becomes a file name in views and in folders of spec files.
      assert.ok(!/[/\0]|^\.\.?$/.test(node.name), what);
      for (const projection of PROJECTIONS) {
        const layout = { projections: [["all", projection]] as const, hashLength: undefined };
        const path = refusedOr(() => projectedPath(node, layout));
        if (path === undefined) continue;
        assert.ok(path.split("/").every(isHarmless), `${what} in ${projection}: ${path}`);
        try {
          const { parent } = await placeInStore(store, `${root}/${path}`);
          assert.ok(parent === root || parent.startsWith(`${root}/`), `${what} in ${projection}: ${parent}`);
          placed++;
        } catch (error) {
          assert.ok(isStaveError(error, "FILE_SYSTEM"), `${what} in ${projection}: ${error}`);
        }
      }
    }
  assert.ok(read > 50 && placed > 300, `${read} read, ${placed} placed`);
});

const isHarmless = (part: string): boolean => /^[A-Za-z0-9_+.-]+$/.test(part) && !/^\.\.?$/.test(part);

function readIfRight(node: JsonObject): SpecNode | undefined {
  return refusedOr(() => readSpecDocument({ spec: { _meta: { version: 5 }, nodes: [node] } }, { name: "it" }).root);
}

// Undefined if it is properly refused.
function refusedOr<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    assert.ok(isStaveError(error, "SPEC_INVALID", "CONFIG_INVALID"), `${error}`);
    return undefined;
  }
}
