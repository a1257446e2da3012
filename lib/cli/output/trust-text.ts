// What `stave trust` prints.

import type { StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { printable } from "../../printable/printable.ts";
import type { PlaceRule } from "../../sign/policy/trust-policy.ts";
import type { AcceptedSignature } from "../../sign/signature/judge.ts";

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

/** A rule as data. */
export interface RuleRow {
  /** The place of the rule; undefined for all others. */
  readonly scope: string | undefined;
  readonly require: "none" | "signature" | "reject";
  readonly signers: readonly { readonly name: string; readonly key: string; readonly notAfter: string | undefined }[];
  readonly index: "any" | "signed";
}

/** A rule as data. */
export function ruleRow({ scope, require, signers, index }: PlaceRule): RuleRow {
  const rows = signers.map(({ name, key, notAfter }) => ({
    ...{ name, key: key.fingerprint },
    notAfter: notAfter === undefined ? undefined : new Date(notAfter).toISOString(),
  }));
  return { scope, require, signers: rows, index };
}

/** One line per rule. */
export function* showRules(path: string, rules: readonly PlaceRule[]): Iterable<string> {
  yield `${printable(path)}:`;
  for (const rule of rules) yield `  ${ruleText(rule)}`;
}

function ruleText(rule: PlaceRule): string {
  const place = rule.scope === undefined ? "everything else" : printable(rule.scope);
  if (rule.require === "none") return `${place}: no signature is required`;
  if (rule.require === "reject") return `${place}: nothing may be used`;
  const signers = ruleRow(rule).signers.map(
    ({ name, key, notAfter }) =>
      `${printable(name)} (key ${key.slice(0, 12)}${notAfter === undefined ? "" : `, until ${notAfter}`})`,
  );
  const index = rule.index === "signed" ? "; the index must be signed" : "";
  return `${place}: a signature by ${signers.join(" or ")}${index}`;
}

/** Which rule applies to an image, and what came of it. */
export function* explanationLines({ policy, rule, image, digest, signature, error }: Explanation): Iterable<string> {
  yield `${printable(image)} ${digest}`;
  if (policy === undefined || rule === undefined) yield "there is no trust policy, so no signature is required";
  else yield `${printable(policy)}: ${ruleText(rule)}`;
  if (signature !== undefined)
    yield `accepted: signed by ${printable(signature.signer)} (key ${signature.key.slice(0, 12)}), signature ${signature.bundle}`;
  else if (error === undefined) yield "accepted: no signature is required";
  else yield `refused: ${printable(error.message)} [${error.code}]`;
}
