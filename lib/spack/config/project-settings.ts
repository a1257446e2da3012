// The text of `stave.yaml`, beside `spack.yaml`: the cache and the store of a project.
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { redactUrls } from "../../printable/secret.ts";
import { checkKeys } from "../text/known-keys.ts";
import { checked } from "../text/schema-check.ts";
import { parseYaml } from "../text/yaml.ts";

const TEXT_LIMIT = 4096;

/** The schema of the file; the build writes it as a JSON Schema. */
export const projectSchema = z.strictObject({
  $schema: z.string().max(TEXT_LIMIT).optional(),
  cache: z
    .string()
    .min(1)
    .max(TEXT_LIMIT)
    .optional()
    .describe("The build cache: a URL, a directory relative to this file, or the name of a mirror"),
  store: z.string().min(1).max(TEXT_LIMIT).optional().describe("The root of the Spack store, relative to this file"),
});

/** The settings of a project. */
export interface Project {
  readonly file: string;
  readonly text: string;
  /** Absolute, or a URL, or the name of a mirror. */
  readonly cache: string | undefined;
  /** Absolute. */
  readonly store: string | undefined;
}

/** Reads the text of a file. Throws CONFIG_INVALID, for an unknown key with the one that was probably meant. */
export function parseProject(text: string, file: string): Project {
  const node = parseYaml(text, file);
  if (node === undefined || (node.kind === "scalar" && node.value === null))
    return { file, text, cache: undefined, store: undefined };
  checkKeys(node, Object.keys(projectSchema.shape));
  const { cache, store } = checked(projectSchema, node, "project");
  if (cache !== undefined && redactUrls(cache) !== cache)
    throw new StaveError("CONFIG_INVALID", `${file} has credentials in the URL of its cache`, {
      hint: "leave them out, and use `stave login`",
    });
  const folder = dirname(file);
  return { file, text, cache: cache && absolute(cache, folder), store: store && resolve(folder, store) };
}

// Relative directories are relative to the file, not to the working folder.
function absolute(cache: string, folder: string): string {
  const [, scheme = "", path = ""] = /^(oci-layout:|)(\.{1,2}(?:\/.*)?)$/s.exec(cache) ?? [];
  return path === "" ? cache : `${scheme}${resolve(folder, path)}`;
}
