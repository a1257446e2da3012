// Reads the entries of an `include:` section; scopes.ts follows them.
import * as z from "zod";
import { checked } from "../text/schema-check.ts";
import { configError, type Place } from "../text/yaml.ts";
import type { SectionSource } from "./scope-file.ts";

/** One entry of `include:` (Spack `schema/include.py`). */
export interface IncludeEntry {
  readonly place: Place;
  /** The path or URL as written; empty for git. */
  readonly path: string;
  /** The git repository, if the entry names one. */
  readonly git: string | undefined;
  readonly name: string | undefined;
  readonly when: string | undefined;
  readonly isOptional: boolean;
  /** An environment variable that replaces the path. */
  readonly variable: string | undefined;
}

const Entry = z.union([
  z.string().min(1),
  z.strictObject({
    path: z.string().min(1),
    name: z.string().optional(),
    when: z.string().optional(),
    optional: z.boolean().optional(),
    path_override_env_var: z.string().optional(),
    sha256: z.string().optional(),
    prefer_modify: z.boolean().optional(),
  }),
  z.strictObject({
    git: z.string().min(1),
    branch: z.string().optional(),
    commit: z.string().optional(),
    tag: z.string().optional(),
    paths: z.array(z.string()),
    name: z.string().optional(),
    when: z.string().optional(),
    optional: z.boolean().optional(),
    prefer_modify: z.boolean().optional(),
  }),
]);

/** The entries of a scope's `include` section, in order. Throws CONFIG_INVALID with the place. */
export function includesOf(content: SectionSource): IncludeEntry[] {
  const section = content.section("include");
  if (!section) return [];
  if (section.value.kind !== "list")
    throw configError(section.value.place, `include is a ${section.value.kind}, expected a list of paths`);
  return section.value.items.map((item, at) => {
    const entry = checked(Entry, item, `include[${at}]`);
    const { place } = item;
    const common = { place, git: undefined, name: undefined, when: undefined, isOptional: false, variable: undefined };
    if (typeof entry === "string") return { ...common, path: entry };
    const name = entry.name || undefined;
    const when = entry.when?.trim() || undefined;
    const isOptional = entry.optional ?? false;
    return "git" in entry
      ? { ...common, path: "", git: entry.git, name, when, isOptional }
      : { ...common, path: entry.path, name, when, isOptional, variable: entry.path_override_env_var };
  });
}
