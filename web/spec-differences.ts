// Compares two specs of the catalogue, field by field.
import type { SpecDetails } from "../lib/catalogue/catalogue-data.ts";
import { shortHash } from "./format.ts";
import type { SpecKey } from "./routes.ts";

/** A value of a spec, with the spec that it stands for. */
export interface Side {
  readonly text: string;
  readonly link?: SpecKey | undefined;
}

/** A field in which two specs differ; undefined on the side that lacks it. */
export interface Difference {
  readonly name: string;
  readonly left: Side | undefined;
  readonly right: Side | undefined;
}

/** What differs between two specs, in groups, and the number of fields that are the same. */
export function differences(
  one: SpecDetails,
  other: SpecDetails,
): {
  readonly groups: readonly { readonly title: string; readonly rows: readonly Difference[] }[];
  readonly same: number;
} {
  let same = 0;
  const compare = (left: ReadonlyMap<string, Side>, right: ReadonlyMap<string, Side>): Difference[] => {
    const rows: Difference[] = [];
    for (const name of new Set([...left.keys(), ...right.keys()])) {
      const row = { name, left: left.get(name), right: right.get(name) };
      if (row.left?.text === row.right?.text) same++;
      else rows.push(row);
    }
    return rows;
  };
  const groups = [
    { title: "Build", rows: compare(fields(one), fields(other)) },
    { title: "Variants", rows: compare(texts(one.variants), texts(other.variants)) },
    { title: "Flags", rows: compare(texts(one.flags), texts(other.flags)) },
    { title: "Dependencies", rows: compare(dependencies(one), dependencies(other)) },
  ];
  return { groups: groups.filter(({ rows }) => rows.length > 0), same };
}

const texts = (pairs: SpecDetails["variants"]): Map<string, Side> =>
  new Map(pairs.map(([name, text]) => [name, { text }]));

function fields({ version, namespace, platform, os, target, compiler, path }: SpecDetails): Map<string, Side> {
  const all = Object.entries({ version, namespace, platform, os, target, compiler, path });
  return new Map(all.flatMap(([name, text]) => (text === undefined || text === "" ? [] : [[name, { text }]])));
}

// A spec may have two dependencies of the same name, for different purposes.
function dependencies({ dependencies: rows }: SpecDetails): Map<string, Side> {
  const found = new Map<string, Side>();
  for (const [name, hash, version] of rows) {
    const text = `${version} /${shortHash(hash)}`;
    const key = found.has(name) ? `${name} (second)` : name;
    found.set(key, { text, link: version === "" ? undefined : { name, hash } });
  }
  return found;
}
