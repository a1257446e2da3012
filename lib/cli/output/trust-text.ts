// What `stave trust` prints.

import type { StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { printable } from "../../printable/printable.ts";
import type { IdentityRule } from "../../sign/identity/identity-pattern.ts";
import type { PlaceRule } from "../../sign/policy/trust-policy.ts";
import { type AcceptedSignature, describeSigner } from "../../sign/signature/judge.ts";
import { signedBy } from "./signature-text.ts";

/** Why an image may be used, or not. */
export interface Explanation {
  /** The policy's file, if there is one. */
  readonly policy: string | undefined;
  readonly rule: PlaceRule | undefined;
  readonly image: string;
  readonly digest: Digest;
  /** The signature that satisfies the rule, if one is required. */
  readonly signature: AcceptedSignature | undefined;
  /** Why the image may not be used. */
  readonly error: StaveError | undefined;
}

/** A signer as data: a key by its fingerprint, an identity, or keys of gpg. */
export interface SignerRow {
  readonly name: string;
  readonly key?: string;
  readonly identity?: IdentityRule;
  readonly gpg?: readonly string[];
  readonly notAfter: string | undefined;
}

/** A rule as data. */
export interface RuleRow {
  /** The place of the rule; undefined for all others. */
  readonly scope: string | undefined;
  readonly require: PlaceRule["require"];
  readonly signers: readonly SignerRow[];
  readonly index: "any" | "signed";
}

/** A rule as data. */
export function ruleRow({ scope, require, signers, gpg, index }: PlaceRule): RuleRow {
  const rows = signers.map((signer): SignerRow => {
    const { name, notAfter } = signer;
    const who = "key" in signer ? { key: signer.key.fingerprint } : { identity: signer.identity.rule };
    return { name, ...who, notAfter: notAfter === undefined ? undefined : new Date(notAfter).toISOString() };
  });
  const keys = gpg.map(({ name, fingerprints }): SignerRow => ({ name, gpg: fingerprints, notAfter: undefined }));
  return { scope, require, signers: [...rows, ...keys], index };
}

/** One line per rule. */
export function* showRules(path: string, rules: readonly PlaceRule[]): Iterable<string> {
  yield `${printable(path)}:`;
  for (const rule of rules) yield `  ${ruleText(rule)}`;
}

function ruleText(rule: PlaceRule): string {
  const place = rule.scope === undefined ? "everything that has no rule" : printable(rule.scope);
  if (rule.require === "none") return `${place}: no signature is required`;
  if (rule.require === "reject") return `${place}: nothing may be used`;
  if (rule.require === "gpg") {
    const keys = rule.gpg.map(({ name, fingerprints }) => `${name} (${fingerprints.join(", ")})`);
    return `${place}: a gpg signature by ${printable(keys.join(" or "))}`;
  }
  const signers = rule.signers.map((signer) => {
    const { notAfter } = signer;
    const until = notAfter === undefined ? "" : `, until ${new Date(notAfter).toISOString()}`;
    return `${printable(describeSigner(signer))}${until}`;
  });
  const index = rule.index === "signed" ? "; the index must be signed" : "";
  return `${place}: a signature by ${signers.join(" or ")}${index}`;
}

/** Which rule applies to an image, and what came of it. */
export function* explanationLines({ policy, rule, image, digest, signature, error }: Explanation): Iterable<string> {
  yield `${printable(image)} ${digest}`;
  if (policy === undefined || rule === undefined) yield "there is no trust policy, so no signature is required";
  else yield `${printable(policy)}: ${ruleText(rule)}`;
  if (signature !== undefined) yield `accepted: ${signedBy(signature)}, signature ${signature.bundle}`;
  else if (error === undefined) yield "accepted: no signature is required";
  else yield `refused: ${printable(error.message)} [${error.code}]`;
  if (error?.hint !== undefined) yield `  hint: ${printable(error.hint)}`;
}
