// Signs the images of a push, all at once, when they and the index have been written.
import type { IndexReport } from "../../cache/index-update.ts";
import { INDEX_TAG } from "../../cache/spec-tag.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { parseFetched } from "../../target/choose-platform.ts";
import type { Target } from "../../target/target.ts";
import type { ImageToSign, SignReport } from "../sign/sign.ts";
import type { PushSettings } from "./options.ts";
import type { PreparedPush } from "./prepare.ts";
import type { PushResults } from "./run.ts";

/**
 * Signs what a push made, if it has a signer. What was in the cache before may be by anyone, and the new images contain
 * its layers: so nothing is signed unless all of it is signed by the same signer. Like the index, signing is one
 * failure among others.
 */
export async function signPushed(
  options: PushSettings,
  used: PreparedPush["used"],
  results: PushResults,
  index: IndexReport | undefined,
): Promise<SignReport | undefined> {
  const { target, clock, signal } = options;
  const { specs, images, manifests, failures } = results;
  if (options.sign === undefined) return undefined;
  const common = { target, ...options.sign, clock, signal };
  const unchanged = new Set(images.filter(({ isNew }) => !isNew).map(({ tag }) => tag));
  const made = [...manifests].map(([reference, manifest]) => ({
    ...{ reference, manifest },
    isNew: !unchanged.has(reference),
  }));
  // By the manifests that were read: a tag may have moved since.
  const before = new Map<string, Descriptor | undefined>(used);
  for (const { tag, outcome } of specs) if (outcome === "present" && !before.has(tag)) before.set(tag, undefined);
  const present = [...before].map(([reference, manifest]) => ({ reference, manifest }));
  try {
    const { signImages } = await import("../sign/sign.ts");
    const { images: checked } = await signImages({ ...common, images: present, dryRun: true });
    const unsigned = checked.filter(({ isNew }) => isNew);
    if (unsigned.length > 0) throw notOurs(target.name, unsigned);
    const indexes = index === undefined ? [] : [await indexToSign(target, index, signal)];
    const report = await signImages({ ...common, images: [...made, ...indexes] });
    return { ...report, images: [...report.images, ...checked] };
  } catch (error) {
    if (!isStaveError(error) || signal?.aborted) throw error;
    failures.push(error);
    return undefined;
  }
}

// The index under the tag may be another writer's by now.
async function indexToSign(
  target: Target,
  { digest }: IndexReport,
  signal: AbortSignal | undefined,
): Promise<ImageToSign> {
  const fetched = await target.fetchManifest(INDEX_TAG, { signal });
  const document = parseFetched(fetched, target.name);
  if (document.kind === "manifest" && document.value.layers[0]?.digest === digest)
    return { reference: INDEX_TAG, manifest: fetched.descriptor };
  throw new StaveError("CONFLICT", `the index of ${target.name} was replaced by another client before it was signed`, {
    subject: target.name,
    hint: "run the same command again",
  });
}

function notOurs(name: string, images: SignReport["images"]): StaveError {
  const [first] = images;
  const others = images.length > 1 ? ` and ${images.length - 1} more` : "";
  const were = images.length > 1 ? "were" : "was";
  const are = images.length > 1 ? "are" : "is";
  return new StaveError(
    "SIGNATURE_MISSING",
    `nothing was signed: ${first?.reference}${others} ${were} in ${name} before and ${are} not signed by this signer`,
    {
      subject: name,
      hint: `push again with \`force\`, which makes all images anew, or sign what is there: stave sign ${name}`,
    },
  );
}
