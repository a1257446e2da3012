// The tags of an image that is one of several platforms.
import { isStaveError } from "../../errors.ts";
import type { Platform } from "../../oci/platform.ts";
import { platformTag } from "../../oci/platform-index.ts";
import { levelOf } from "../../spack/spec/microarchitecture.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { goArchitectureOf } from "../../spack/spec/spec-name.ts";
import { layerOrder } from "../../spack/spec/spec-orders.ts";
import { type ImageIndexReport, updateImageIndex } from "../image/image-index.ts";
import type { PlanSettings, PushSettings } from "./options.ts";
import type { PushResults } from "./run.ts";

/** The settings with the tags of this platform in place of those of all platforms, if that is wanted. */
export function withPlatformTags<T extends Pick<PlanSettings, "platformTag" | "tags" | "roots">>(settings: T): T {
  const { platformTag: isWanted, tags, roots } = settings;
  const platform = isWanted ? platformOf(roots) : undefined;
  return platform === undefined ? settings : { ...settings, tags: tags.map((tag) => platformTag(tag, platform)) };
}

/** The platform of an image of these specs: the level of amd64 is the highest that any of them needs. */
export function platformOf(roots: readonly SpecNode[]): Platform | undefined {
  const [first] = roots;
  if (first === undefined) return undefined;
  const architecture = goArchitectureOf(first);
  const level = Math.max(...layerOrder(roots).map(({ target }) => levelOf(target)));
  return { os: "linux", architecture, ...(level > 1 && { variant: `v${level}` }) };
}

/** Writes the indexes. A failure is one failure among others: the image has been pushed. */
export async function indexPlatforms(
  { target, tags, signal }: PushSettings,
  { failures }: Pick<PushResults, "failures">,
): Promise<ImageIndexReport[]> {
  const indexes: ImageIndexReport[] = [];
  for (const tag of tags)
    try {
      indexes.push(await updateImageIndex(target, tag, { signal }));
    } catch (error) {
      if (!isStaveError(error) || signal?.aborted) throw error;
      failures.push(error);
    }
  return indexes;
}
