// Puts the layers of an image onto another base. Pure: the layers stay as they are, and what the image took over from
// its old base is replaced by what the new one has.
import { StaveError } from "../errors.ts";
import { baseEnvironment } from "../spack/environment/env-modifications.ts";
import { own } from "../spack/text/fields.ts";
import { isObject } from "../spack/text/json.ts";
import type { JsonObject, JsonValue } from "../spack/text/json-value.ts";
import type { BaseImage } from "./base-image-reader.ts";
import { settingsWithRecord, withBaseRecord } from "./base-record.ts";
import { assembleImage, type BuiltImage, withLayers } from "./image-documents.ts";

/** The keys of a config that are made anew. */
const MADE = new Set(["rootfs", "history", "config"]);
const SETTINGS_MADE = new Set(["Env", "Labels"]);

/** True if the layers at the bottom of an image are those of a base. */
export function standsOn(image: BaseImage, base: BaseImage): boolean {
  return base.diffIds.length <= image.diffIds.length && base.diffIds.every((id, at) => image.diffIds[at] === id);
}

/**
 * The image on another base; `old` is undefined if it has none. `annotations` are those of its manifest. Throws
 * CONTENT_INVALID if it does not stand on the old base, UNSUPPORTED for a layer that the new base's family cannot hold.
 */
export function rebaseImage(
  image: BaseImage,
  bases: { readonly old: BaseImage | undefined; readonly onto: BaseImage },
  annotations: Record<string, string> | null | undefined,
): BuiltImage {
  const { old, onto } = bases;
  if (old && !standsOn(image, old))
    throw new StaveError("CONTENT_INVALID", "the image does not have the layers of its old base", {
      hint: "name the base that it was pushed over with `from`",
    });
  const below = old?.diffIds.length ?? 0;
  const added = image.layers
    .slice(below)
    .map(({ mediaType, digest, size }, at) => ({ ...image.layerObjects[below + at], mediaType, digest, size }));
  const config = configOf(image, bases, below);
  return assembleImage({ base: onto, config, added, annotations: withBaseRecord(annotations ?? {}, onto) });
}

function configOf(
  image: BaseImage,
  { old, onto }: { readonly old: BaseImage | undefined; readonly onto: BaseImage },
  below: number,
): JsonObject {
  const top = exchanged(image.config, old?.config, onto.config, MADE);
  const settings = (config: JsonObject | undefined): JsonObject => asObject(config && own(config, "config"));
  const [before, after, now] = [settings(old?.config), settings(onto.config), settings(image.config)];
  const labels = exchanged(
    asObject(own(now, "Labels")),
    asObject(own(before, "Labels")),
    asObject(own(after, "Labels")),
  );
  const merged: JsonObject = {
    ...exchanged(now, before, after, SETTINGS_MADE),
    Env: rebaseVariables(image.env, old?.env, onto.env),
    ...(Object.keys(labels).length > 0 && { Labels: labels }),
  };
  const rootfs = asObject(own(image.config, "rootfs"));
  const history = ownHistory(image, below);
  return {
    ...top,
    rootfs: { ...rootfs, type: "layers", diff_ids: [...onto.diffIds, ...image.diffIds.slice(below)] },
    config: settingsWithRecord(merged, onto),
    ...(history && { history: [...withLayers(listOf(onto.config, "history"), onto.diffIds.length), ...history] }),
  };
}

// The values of an image, with those that it has from its old base exchanged for those of the new one.
function exchanged(
  image: JsonObject,
  old: JsonObject | undefined,
  onto: JsonObject,
  without: ReadonlySet<string> = new Set(),
): JsonObject {
  const out: JsonObject = {};
  const isSame = (a: JsonValue | undefined, b: JsonValue | undefined): boolean =>
    JSON.stringify(a) === JSON.stringify(b);
  for (const key of new Set([...Object.keys(onto), ...Object.keys(image)])) {
    if (without.has(key)) continue;
    const [now, before] = [own(image, key), old && own(old, key)];
    // Set or cleared by the image itself: it stays.
    const isOwn = !isSame(now, before);
    const value = isOwn ? now : own(onto, key);
    if (value !== undefined) out[key] = value;
  }
  return out;
}

/**
 * The variables of an image on another base. A list to which the image added folders keeps these, around the value of
 * the new base. Variables that only the old base had go with it.
 */
export function rebaseVariables(
  image: readonly string[],
  old: readonly string[] | undefined,
  onto: readonly string[],
): string[] {
  const [now, before, after] = [mapOf(image), baseEnvironment(old ?? []), baseEnvironment(onto)];
  const out = new Map<string, string>();
  for (const name of new Set([...after.keys(), ...now.keys()])) {
    const value = valueOn(now.get(name), before.get(name), after.get(name));
    if (value !== undefined) out.set(name, value);
  }
  return [...out].map(([name, value]) => `${name}=${value}`);
}

function valueOn(now: string | undefined, before: string | undefined, after: string | undefined): string | undefined {
  // What the image cleared stays so.
  if (now === undefined) return before === undefined ? after : undefined;
  if (now === before) return after;
  if (before === undefined || before === "") return now;
  const around = `:${now}:`;
  const at = around.indexOf(`:${before}:`);
  if (at < 0) return now;
  const parts = [around.slice(1, at), after ?? "", around.slice(at + before.length + 2, -1)];
  return parts.filter((part) => part !== "").join(":");
}

function mapOf(env: readonly string[]): Map<string, string> {
  return new Map(
    env.map((entry): [string, string] => {
      const [name = ""] = entry.split("=", 1);
      return [name, entry.slice(name.length + 1)];
    }),
  );
}

// The entries of the layers above the base: counted from the end, because the base's own may be incomplete. Undefined
// if the image has no history.
function ownHistory({ config, diffIds }: BaseImage, below: number): JsonValue[] | undefined {
  const all = listOf(config, "history");
  if (all.length === 0) return undefined;
  let left = diffIds.length - below;
  let start = all.length;
  while (start > 0 && left > 0) {
    const entry = all[--start];
    if (!isObject(entry) || own(entry, "empty_layer") !== true) left--;
  }
  return all.slice(start);
}

function listOf(object: JsonObject, key: string): JsonValue[] {
  const value = own(object, key);
  return Array.isArray(value) ? value : [];
}

function asObject(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : {};
}
