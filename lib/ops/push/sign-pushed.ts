// Signs the images of a push, all at once, when they and the index have been written; refuses before that what may not
// be signed.
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
 * Checks, before anything is pushed, that a signer may vouch for the result. What is in the cache may be by anyone, and
 * new images contain its layers: so all of it that the push uses must be signed by the same signer. Returns these
 * images. Throws SIGNATURE_MISSING for others, and what asking the target throws.
 */
export async function signedBefore(options: PushSettings, prepared: PreparedPush): Promise<SignReport["images"]> {
  const { target, clock, signal, sign } = options;
  if (sign === undefined) return [];
  // By the manifests that were read: a tag may have moved since.
  const before = new Map<string, Descriptor | undefined>(prepared.used);
  for (const { tag, action } of prepared.plan.specs)
    if (action === "keep" && !before.has(tag)) before.set(tag, undefined);
  if (before.size === 0) return [];
  const present = [...before].map(([reference, manifest]) => ({ reference, manifest }));
  const { signImages } = await import("../sign/sign.ts");
  const { images } = await signImages({ target, ...sign, clock, signal, images: present, dryRun: true });
  const unsigned = images.filter(({ isNew }) => isNew);
  if (unsigned.length > 0) throw notOurs(target.name, unsigned);
  return images;
}

/**
 * Signs what a push made, if it has a signer; `before` are the images it found signed. Like the index, signing is one
 * failure among others.
 */
export async function signPushed(
  options: PushSettings,
  before: SignReport["images"],
  results: PushResults,
  index: IndexReport | undefined,
): Promise<SignReport | undefined> {
  const { target, clock, signal } = options;
  const { images, manifests, failures } = results;
  if (options.sign === undefined) return undefined;
  const unchanged = new Set(images.filter(({ isNew }) => !isNew).map(({ tag }) => tag));
  const made = [...manifests].map(([reference, manifest]) => ({
    ...{ reference, manifest },
    isNew: !unchanged.has(reference),
  }));
  try {
    const { signImages } = await import("../sign/sign.ts");
    const indexes = index === undefined ? [] : [await indexToSign(target, index, signal)];
    const report = await signImages({
      ...{ target, ...options.sign, clock, signal },
      images: [...made, ...indexes],
    });
    return { ...report, images: [...report.images, ...before] };
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
    `nothing was pushed, because it could not be signed: ${first?.reference}${others} ${were} in ${name} before and ${are} not signed by this signer`,
    {
      subject: name,
      hint: `push again with \`force\`, which makes all images anew, or sign what is there: stave sign ${name}`,
    },
  );
}
