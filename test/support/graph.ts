// Graphs of invented nodes in any shape, for tests of walks and limits.

import { GraphBuilder } from "../../lib/spack/spec/graph.ts";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import type { Place } from "../../lib/spack/text/fields.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";

const PLACE: Place = { source: { name: "made-up.json", code: "SPEC_INVALID" } };
const DIGITS = "abcdefghijklmnopqrstuvwxyz234567";

/** A well-formed hash that contains a number and is not true. */
export function fakeHash(at: number): string {
  let text = "";
  for (let rest = at; rest > 0; rest = Math.floor(rest / 32)) text = DIGITS.charAt(rest % 32) + text;
  return text.padStart(32, "a");
}

/** A node dictionary of format 5. */
export function fakeNode(name: string, at: number, children: readonly { name: string; at: number }[]): JsonObject {
  return {
    name,
    version: "1.0",
    arch: { platform: "linux", platform_os: "debian12", target: "x86_64" },
    namespace: "made",
    parameters: { build_system: "generic" },
    dependencies: children.map((child) => ({
      name: child.name,
      hash: fakeHash(child.at),
      parameters: { deptypes: ["link"], virtuals: [] },
    })),
    annotations: { original_specfile_version: 5 },
    hash: fakeHash(at),
  };
}

/** A graph of `size` nodes of which node `at` depends on those that `children` lists; hashes are not real. */
export function makeGraph(size: number, children: (at: number) => readonly number[]): SpecNode[] {
  const builder = new GraphBuilder();
  const name = (at: number): string => `p${String(at).padStart(6, "0")}`;
  const nodes = Array.from({ length: size }, (_, at) =>
    builder.add(
      fakeNode(
        name(at),
        at,
        children(at).map((child) => ({ name: name(child), at: child })),
      ),
      5,
      PLACE,
    ),
  );
  builder.build();
  return nodes;
}

/** A node alone, of a version and with parameters. */
export function madeNode(name: string, version: string, parameters: JsonObject = {}): SpecNode {
  const builder = new GraphBuilder();
  const fields = { ...fakeNode(name, 1, []), version, parameters: { build_system: "generic", ...parameters } };
  const made = builder.add(fields, 5, { source: { name: "made.json" } });
  builder.build();
  return made;
}
