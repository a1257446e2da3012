// What makes an image the binary package of a spec: the installed spec, its text form, and its layer.
import { isStaveError } from "../../errors.ts";
import type { ImageLayer, SpecPart } from "../../image/image-documents.ts";
import { type Compression, layerMediaType } from "../../image/pack/compression.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { legacySpecString, specString } from "../../spack/spec/spec-name.ts";
import { specDocument } from "../../spack/spec/spec-writer.ts";
import { readInstalledSpec } from "../../spack/store/prefix-metadata.ts";
import type { Store } from "../../spack/store/store.ts";
import { isObject } from "../../spack/text/json.ts";
import type { JsonObject, JsonValue } from "../../spack/text/json-value.ts";
import type { Recurring } from "../../spack/text/recurring.ts";

/** Reads the spec from its prefix. Throws SPEC_INVALID if another spec is there. */
export async function installedSpecPart(node: SpecNode, store: Store, recurring?: Recurring): Promise<SpecPart> {
  return specPartOf(node, (await readDocument(node, store, recurring)) ?? specDocument(node, store.database.graph));
}

/** Creates it from a document; `value` is that document's `spec`. */
export function specPartOf(node: SpecNode, value: JsonValue): SpecPart {
  const legacy = node.format < 5;
  const document = isObject(value) ? value : {};
  return { document, description: legacy ? legacySpecString(node) : specString(node), legacy };
}

// What Spack wrote at installation. A prefix without it can still be packed, because the database knows the spec too.
async function readDocument(
  node: SpecNode,
  store: Store,
  recurring: Recurring | undefined,
): Promise<JsonObject | undefined> {
  const record = store.get(node.hash);
  if (record === undefined) return undefined;
  try {
    const { value } = await readInstalledSpec(store, record, recurring);
    return isObject(value) ? value : undefined;
  } catch (error) {
    if (isStaveError(error, "SPEC_NOT_INSTALLED")) return undefined;
    throw error;
  }
}

/** The label of a spec's layer in an image's history. */
export function labelOf(node: SpecNode): string {
  return `${node.name}@${node.version}/${node.hash}`;
}

/** The layer of a spec in an image. */
export function layerOf(
  node: SpecNode,
  { digest, size, diffId }: Pick<ImageLayer, "digest" | "size" | "diffId">,
  compression: Compression,
): ImageLayer {
  return { mediaType: layerMediaType(compression), digest, size, diffId, label: labelOf(node) };
}
