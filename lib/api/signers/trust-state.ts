// What decides which content is trusted, as a value: an answer that was found under one state says nothing about
// another.
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import { digestOf } from "../../oci/digest.ts";
import type { PolicyDocument } from "../../sign/policy/trust-policy.ts";
import { readBounded } from "../../util/read-file.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { policyPath, policyPaths, type TrustOptions } from "./trust.ts";

/** The state of what decides. */
export interface TrustState {
  /** Changes with the policy, with the files that the policy or the user names, and when a signer's time is over. */
  readonly key: unknown;
  /** Some content may be refused. */
  readonly isStrict: boolean;
  /** The files that decided it, present or absent, and until when they do, in milliseconds since the epoch. */
  readonly files: readonly string[];
  readonly until: number | undefined;
}

/** Reads the state. Throws CONFIG_INVALID, NOT_FOUND, FILE_SYSTEM, TOO_LARGE for the policy itself. */
export async function trustState(around: Surroundings, options: TrustOptions): Promise<TrustState> {
  const path = options.insecureNoSignatureCheck ? undefined : policyPath(around, options);
  const { signedBy } = options;
  const places = path === undefined ? policyPaths(around) : [path];
  // Most users have neither; then nothing more is loaded.
  if (path === undefined && signedBy === undefined)
    return { key: undefined, isStrict: false, files: places, until: undefined };
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
  const read = [...places, ...named];
  if (path === undefined) return { key: { signers }, isStrict: true, files: read, until: undefined };
  const { bytes } = await readBounded(path, POLICY_LIMIT);
  const document = parsePolicy(bytes, path);
  const mentioned = filesOf(document, path);
  const files = await Promise.all(mentioned.map(stateOf));
  const now = around.clock.now();
  const ends = signerEnds(document);
  const over = ends.flatMap(({ name, end }) => (now > end ? [name] : []));
  return {
    key: { signers, policy: { digest: digestOf(bytes), files, over } },
    isStrict: signedBy !== undefined || mayRefuse(document),
    files: [...policyPaths(around), ...read, ...mentioned],
    until: ends
      .map(({ end }) => end)
      .filter((end) => now <= end)
      .toSorted((a, b) => a - b)[0],
  };
}

function signerEnds({ signers = {} }: PolicyDocument): { readonly name: string; readonly end: number }[] {
  return Object.entries(signers).flatMap(([name, signer]) =>
    "notAfter" in signer && signer.notAfter !== undefined ? [{ name, end: Date.parse(signer.notAfter) }] : [],
  );
}

function mayRefuse({ default: otherwise, caches = {}, revoked }: PolicyDocument): boolean {
  const rules = [otherwise, ...Object.values(caches)];
  return rules.some((rule) => rule.require !== "none") || (revoked?.digests ?? []).length > 0;
}
