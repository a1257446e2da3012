// The vectors made by running real Spack, by section; each test parses the section it uses.
import { readFileSync } from "node:fs";
import { z } from "zod";

const vectors: Record<string, unknown> = JSON.parse(
  readFileSync(new URL("../../testdata/vectors.json", import.meta.url), "utf8"),
);

/** The rows of one section, checked against a schema, so that a typo in a test is an error and not an empty loop. */
export function vector<T>(section: string, schema: z.ZodType<T>): T {
  return schema.parse(vectors[section]);
}

/** The rows of a section of the form `{columns, rows}`. */
export function vectorRows<T>(section: string, row: z.ZodType<T>): T[] {
  return vector(section, z.object({ rows: z.array(row).min(1) })).rows;
}
