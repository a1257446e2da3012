// What `stave sign`, `stave push` and `stave verify` print about signatures.
import type { AttestationReport } from "../../ops/push/report.ts";
import type { CheckSignaturesReport } from "../../ops/sign/check-signatures.ts";
import type { SignReport } from "../../ops/sign/sign.ts";
import { printable } from "../../printable/printable.ts";
import type { AcceptedSignature } from "../../sign/signature/judge.ts";
import { count } from "./formatting.ts";
import type { Output } from "./output.ts";

/** The lines for one place: what is not signed, the signer of a single image, and a total. */
export function* signatureLines({ target, images, signed }: CheckSignaturesReport, output: Output): Iterable<string> {
  const { verbose } = output.options;
  const hints = new Set<string>();
  for (const { reference, digest, signature, error } of images) {
    if (error !== undefined) {
      yield `${output.style("red", error.code)}: ${printable(error.message)}`;
      if (error.hint !== undefined) hints.add(error.hint);
    } else if (signature !== undefined && (images.length === 1 || verbose)) {
      const when = signature.time === undefined ? "" : `, claimed time ${new Date(signature.time).toISOString()}`;
      yield `${printable(reference)} ${digest}: ${signedBy(signature)}${when}`;
    }
  }
  for (const hint of hints) yield `  hint: ${printable(hint)}`;
  if (images.length > 1) yield `${printable(target)}: ${signed} of ${count(images.length, "image")} signed`;
}

/** Who made a signature that was accepted. */
export function signedBy({ signer, key, identity }: AcceptedSignature): string {
  const who = identity === undefined ? `key ${key.slice(0, 12)}` : `${identity.name} of ${identity.issuer}`;
  return `signed by ${printable(signer)} (${printable(who)})`;
}

/** What was signed, or would be in a dry run. */
export function signText(
  { images, gone, signatures, legacy, key, identity }: SignReport,
  { dryRun, verbose }: { readonly dryRun?: boolean; readonly verbose?: boolean },
): string {
  const made = images.filter(({ isNew }) => isNew);
  const lines = images.length === 1 || verbose ? made.map(({ reference, digest }) => `${reference} ${digest}`) : [];
  const done = dryRun ? "to sign" : "signed";
  const as = identity === undefined ? "" : ` as ${printable(identity.name)}`;
  const by = key === undefined ? as : ` with key ${key.slice(0, 12)}`;
  const parts = [`${count(made.length, "image")} ${done}${by}`];
  if (signatures > 1) parts.push(`by ${signatures} signatures`);
  if (legacy > 0) parts.push(`${legacy} for podman and skopeo`);
  const before = images.length - made.length;
  if (before > 0) parts.push(`${before} signed before`);
  if (gone.length > 0) parts.push(`${gone.length} removed in the meantime`);
  return [...lines, parts.join(", ")].join("\n");
}

const KINDS: Record<AttestationReport["kind"], string> = {
  spdx: "bill of materials (SPDX)",
  cyclonedx: "bill of materials (CycloneDX)",
  provenance: "provenance",
};

/** The line about what was attested. */
export function attestationText({ kind, images, made }: AttestationReport): string {
  const before = images - made;
  return `${KINDS[kind]}: attached to ${count(made, "image")}${before > 0 ? `, ${before} had it before` : ""}`;
}
