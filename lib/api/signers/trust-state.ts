// What decides which content is trusted, as a value: an answer that was found under one state says nothing about
// another.
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import { digestOf } from "../../oci/digest.ts";
import type { PolicyDocument } from "../../sign/policy/trust-policy.ts";
import { readBounded } from "../../util/read-file.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { policyPath, type TrustOptions } from "./trust.ts";

/** The state of what decides. */
export interface TrustState {
  /** Changes with the policy, with the files that the policy or the user names, and when a signer's time is over. */
  readonly key: unknown;
  /** Some content may be refused. */
  readonly isStrict: boolean;
}

/** Reads the state. Throws CONFIG_INVALID, NOT_FOUND, FILE_SYSTEM, TOO_LARGE for the policy itself. */
export async function trustState(around: Surroundings, options: TrustOptions): Promise<TrustState> {
  const path = options.insecureNoSignatureCheck ? undefined : policyPath(around, options);
  const { signedBy } = options;
  // Most users have neither; then nothing more is loaded.
  if (path === undefined && signedBy === undefined) return { key: undefined, isStrict: false };
  const { filesOf, parsePolicy, POLICY_LIMIT } = await import("../../sign/policy/trust-policy.ts");
  // A file that cannot be read is reported by what needs it; the rule of another place may name it.
  const stateOf = async (file: string): Promise<[string, string | null]> => {
    try {
      return [file, digestOf((await readBounded(file, POLICY_LIMIT)).bytes)];
    } catch (error) {
      if (error instanceof StaveError) return [file, null];
      throw error;
    }
  };
  const { key: keys = [], trustedRoot, certificateIdentity, certificateOidcIssuer } = signedBy ?? {};
  const named = [...keys, ...(trustedRoot === undefined ? [] : [trustedRoot])].map((file) => resolve(around.cwd, file));
  const signers = { certificateIdentity, certificateOidcIssuer, files: await Promise.all(named.map(stateOf)) };
  if (path === undefined) return { key: { signers }, isStrict: true };
  const { bytes } = await readBounded(path, POLICY_LIMIT);
  const document = parsePolicy(bytes, path);
  const files = await Promise.all(filesOf(document, path).map(stateOf));
  const policy = { digest: digestOf(bytes), files, over: signersOver(document, around.clock.now()) };
  return { key: { signers, policy }, isStrict: signedBy !== undefined || mayRefuse(document) };
}

function signersOver({ signers = {} }: PolicyDocument, now: number): string[] {
  return Object.entries(signers).flatMap(([name, signer]) =>
    "notAfter" in signer && signer.notAfter !== undefined && now > Date.parse(signer.notAfter) ? [name] : [],
  );
}

function mayRefuse({ default: otherwise, caches = {}, revoked }: PolicyDocument): boolean {
  const rules = [otherwise, ...Object.values(caches)];
  return rules.some((rule) => rule.require !== "none") || (revoked?.digests ?? []).length > 0;
}
