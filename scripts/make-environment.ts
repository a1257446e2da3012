// Creates a store whose specs have given dependencies and sizes, each with a program that prints its name.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BudgetSpec } from "../lib/image/budget.ts";
import { base32Hash } from "../lib/spack/spec/dag-hash.ts";
import { writeSpecFile } from "../lib/spack/spec/spec-writer.ts";
import { readDatabase } from "../lib/spack/store/database.ts";
import { writeJson } from "../lib/spack/text/json.ts";
import type { JsonObject } from "../lib/spack/text/json-value.ts";
import { textMaker } from "./store-content.ts";

/** A spec to write; the version is 1.0 by default. */
export type MadeSpec = BudgetSpec & { readonly version?: string };

/** Writes a store into a folder; `scale` multiplies the sizes of the specs. Returns their DAG hashes by id. */
export function makeEnvironment(root: string, specs: readonly MadeSpec[], scale: number): Map<string, string> {
  const hashes = new Map<string, string>();
  const names = new Map(specs.map(({ id, name }) => [id, name]));
  const installs: Record<string, JsonObject> = {};
  for (const [at, { id, name, size, needs, version = "1.0" }] of specs.entries()) {
    const node = nodeOf(
      { name, id, version },
      needs.map((need) => ({ name: names.get(need) ?? "", hash: hashes.get(need) ?? "" })),
    );
    const hash = String(node["hash"]);
    hashes.set(id, hash);
    const path = join(root, "linux-x86_64", `${name}-${version}-${hash}`);
    const common = { installed: true, ref_count: 0, explicit: true, installation_time: 1.0, in_buildcache: false };
    installs[hash] = { spec: node, path, ...common };
    const text = textMaker(at);
    write(join(path, "bin", name), `#!/bin/sh\necho "${name} runs"\n`, 0o755);
    for (let part = 0; part < 3; part++)
      write(join(path, `share/data-${part}`), text.make(Math.max(64, Math.round((size * scale) / 3)), path));
  }
  const text = writeJson({ database: { version: "8", installs } });
  const { records, graph } = readDatabase({ name: "index.json", bytes: Buffer.from(text) });
  for (const { node, path } of records.values())
    write(join(path ?? "", ".spack/spec.json"), writeSpecFile(node, graph));
  write(join(root, ".spack-db/index.json"), text);
  write(join(root, ".spack-db/index_verifier"), "00000000-0000-4000-8000-000000000000");
  write(join(root, ".spack-db/lock"), "");
  return hashes;
}

function nodeOf(
  { name, id, version }: { readonly name: string; readonly id: string; readonly version: string },
  needs: readonly { name: string; hash: string }[],
): JsonObject {
  const node: JsonObject = {
    name,
    version,
    arch: { platform: "linux", platform_os: "debian12", target: "x86_64" },
    namespace: "made",
    parameters: { build_system: "generic" },
    package_hash: `${base32Hash(name)}${base32Hash(id).slice(0, 20)}====`,
    ...(needs.length === 0
      ? {}
      : {
          dependencies: needs
            .toSorted((a, b) => (a.name < b.name ? -1 : 1))
            .map((need) => ({ ...need, parameters: { deptypes: ["build", "link"], virtuals: [] } })),
        }),
    annotations: { original_specfile_version: 5 },
  };
  node["hash"] = base32Hash(writeJson(node));
  return node;
}

function write(path: string, content: string | Uint8Array, mode = 0o644): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content, { mode });
}
