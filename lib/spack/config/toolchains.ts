// Toolchains: configured names that `%name` in a spec refers to (Spack `schema/toolchains.py`). spec-parser.ts applies
// them.
import * as z from "zod";
import { checked } from "../text/schema-check.ts";
import type { Place } from "../text/yaml.ts";
import type { Configuration } from "./config.ts";
import { entriesOf } from "./settings.ts";

/** A named set of specs. */
export interface Toolchain {
  readonly parts: readonly ToolchainPart[];
  /** Its position in the configuration. */
  readonly place: Place;
}

/** A spec that applies if the spec using the toolchain satisfies a condition. */
export interface ToolchainPart {
  readonly spec: string;
  /** The condition, a spec; undefined if it always applies. */
  readonly when: string | undefined;
}

/** Toolchains by name. */
export type Toolchains = ReadonlyMap<string, Toolchain>;

const TEXT = z.string().max(65536);
const TOOLCHAIN = z.union([TEXT, z.array(z.object({ spec: TEXT, when: TEXT.optional() })).max(1000)]);

/** The configured toolchains; Spack before 1.0 has none. Throws CONFIG_INVALID with file, line and key. */
export function toolchains(config: Configuration): Toolchains {
  const node = config.style === "platform" ? undefined : config.get("toolchains");
  if (!node) return new Map();
  return new Map(
    entriesOf(node, "toolchains").map(([name, value]): [string, Toolchain] => {
      const read = checked(TOOLCHAIN, value, `toolchains:${name}`);
      const parts = typeof read === "string" ? [{ spec: read, when: undefined }] : read;
      return [name, { parts: parts.map(({ spec, when }) => ({ spec, when: when || undefined })), place: value.place }];
    }),
  );
}
