// What an image says about its base: the digest of the base's manifest and its reference, as labels and annotations
// (OCI image-spec 1.1, "Pre-Defined Annotation Keys").
import type { Digest } from "../oci/digest.ts";
import { own } from "../spack/text/fields.ts";
import { isObject } from "../spack/text/json.ts";
import type { JsonObject, JsonValue } from "../spack/text/json-value.ts";
import type { BaseImage } from "./base-image-reader.ts";

const DIGEST = "org.opencontainers.image.base.digest";
const NAME = "org.opencontainers.image.base.name";

/** What an image says about its base. */
export interface BaseRecord {
  readonly digest: string | undefined;
  readonly name: string | undefined;
}

/** Some labels or annotations with those of a base, in place of those of an earlier one. */
export function withBaseRecord(
  values: JsonValue | undefined,
  { digest, reference }: { readonly digest: Digest; readonly reference: string | undefined },
): JsonObject {
  const { [DIGEST]: _digest, [NAME]: _name, ...others } = isObject(values) ? values : {};
  return { ...others, [DIGEST]: digest, ...(reference !== undefined && { [NAME]: reference }) };
}

/** Reads the record from the labels of an image, or from the annotations of its manifest. */
export function baseRecordIn(...all: readonly (Record<string, string> | null | undefined)[]): BaseRecord {
  const found = all.find((values) => values?.[DIGEST] !== undefined);
  return { digest: found?.[DIGEST], name: found?.[NAME] };
}

/** The `config` of an image config with the record of its base. */
export function settingsWithRecord(settings: JsonObject, base: BaseImage): JsonObject {
  return { ...settings, Labels: withBaseRecord(own(settings, "Labels"), base) };
}
