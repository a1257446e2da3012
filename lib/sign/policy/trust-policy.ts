// The trust policy: which places need signatures, and whose. Everything that is not understood is refused, so that a
// misspelt rule is never a missing one.
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { parseJsonBytes } from "../../spack/text/json.ts";
import { readBounded } from "../../util/read-file.ts";
import { IdentityPattern } from "../identity/identity-pattern.ts";
import { PUBLIC_ROOT, type RootSource, type Roots } from "../identity/roots.ts";
import { readPublicKey } from "../key/key-file.ts";
import type { Revocations, Signer } from "../signature/judge.ts";
import { refuseOpenToAll } from "./open-to-all.ts";
import { anyKind, covers, type RealPath, scopeOf } from "./policy-scope.ts";

/** Maximum number of bytes of a policy. */
export const POLICY_LIMIT: number = 1024 * 1024;

const name = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/);
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

const path = z.string().min(1).max(4096);
const notAfter = z.iso.datetime().max(40).optional();
const id = z
  .string()
  .regex(/^[0-9]{1,32}$/)
  .optional();

const keySigner = z.strictObject({ key: path, notAfter });
const identitySigner = z.strictObject({
  issuer: z.url({ protocol: /^https?$/ }).max(2048),
  identity: z.string().min(1).max(2048),
  ...{ repositoryId: id, ownerId: id, root: name.optional(), notAfter },
});

const gpgSigner = z.strictObject({
  gpg: z
    .array(z.string().regex(/^[0-9A-F]{40}$/))
    .min(1)
    .max(64),
  keyring: path.optional(),
});

const rule = z.strictObject({
  require: z.enum(["none", "signature", "gpg", "reject"]),
  signers: z.array(name).min(1).max(64).optional(),
  index: z.enum(["any", "signed"]).optional(),
  indexMaxAge: z
    .string()
    .regex(/^[1-9][0-9]{0,4}[mhd]$/)
    .optional(),
  bound: z.boolean().optional(),
});

/** The schema of a policy; the build writes it as a JSON Schema. */
export const policySchema = z.strictObject({
  $schema: z.string().max(1024).optional(),
  version: z.literal(1),
  default: rule,
  caches: z.record(z.string().min(1).max(1024), rule).optional(),
  signers: z.record(name, z.union([keySigner, identitySigner, gpgSigner])).optional(),
  roots: z
    .record(
      name,
      z.union([
        z.strictObject({ file: path }),
        z.strictObject({ tuf: z.url({ protocol: /^https?$/ }).max(2048), root: path.optional() }),
      ]),
    )
    .optional(),
  revoked: z
    .strictObject({
      digests: z.array(digest).max(10_000).optional(),
      keys: z
        .array(z.string().regex(/^[0-9a-f]{64}$/))
        .max(10_000)
        .optional(),
      statements: z.array(digest).max(10_000).optional(),
    })
    .optional(),
});

/** A policy as it is written. */
export type PolicyDocument = z.infer<typeof policySchema>;

/** Keys of gpg whose signatures count, for mirrors. */
export interface GpgSigner {
  readonly name: string;
  /** The fingerprints of primary keys, in upper case. */
  readonly fingerprints: readonly string[];
  /** The path of a file with these keys; undefined if they are in gpg's own folder. */
  readonly keyring: string | undefined;
}

/** What one place needs. */
export interface PlaceRule {
  /** The place of the rule as it is written; undefined for the default. */
  readonly scope: string | undefined;
  readonly require: "none" | "signature" | "gpg" | "reject";
  readonly signers: readonly Signer[];
  /** The signers of a mirror. */
  readonly gpg: readonly GpgSigner[];
  readonly index: "any" | "signed";
  /** The age of an index that is too old, in milliseconds. */
  readonly indexMaxAge: number | undefined;
  /** Statements must name the cache. */
  readonly bound: boolean;
  readonly revoked: Revocations;
}

/** Parses a policy. Throws CONFIG_INVALID, naming the file and the key. */
export function parsePolicy(bytes: Uint8Array, path: string): PolicyDocument {
  const value = parseJsonBytes(bytes, { name: path, code: "CONFIG_INVALID" });
  const result = policySchema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    const at = issue === undefined || issue.path.length === 0 ? "the top level" : issue.path.map(String).join(".");
    throw new StaveError(
      "CONFIG_INVALID",
      `${path} is invalid at ${printable(at)}: ${printable(issue?.message ?? "wrong shape")}`,
      { subject: path, hint: "docs/trust.md describes the policy; schemas/trust-policy.json is its schema" },
    );
  }
  const document = result.data;
  for (const [scope, one] of [["default", document.default], ...Object.entries(document.caches ?? {})] as const)
    checkRule(one, document, `${path}: the rule for ${printable(scope)}`);
  for (const [signer, one] of Object.entries(document.signers ?? {})) {
    if (!("issuer" in one)) continue;
    new IdentityPattern(one, `${path}: the signer ${signer}`);
    rootSource(one.root, document, path);
  }
  return document;
}

/** The name of the root of the public instance. */
const PUBLIC = "public";

function rootSource(root: string = PUBLIC, { roots = {} }: PolicyDocument, path: string): RootSource {
  const found = Object.hasOwn(roots, root) ? roots[root] : undefined;
  if (found === undefined) {
    if (root === PUBLIC) return PUBLIC_ROOT;
    throw new StaveError("CONFIG_INVALID", `${path} names the root ${root}, which is not under roots`, {
      subject: path,
    });
  }
  const folder = dirname(path);
  if ("file" in found) return { file: resolve(folder, found.file) };
  return { tuf: found.tuf, first: found.root === undefined ? undefined : resolve(folder, found.root) };
}

/** The paths of all files that a policy names: keys, keyrings and roots. */
export function filesOf({ signers = {}, roots = {} }: PolicyDocument, path: string): string[] {
  const named = [
    ...Object.values(signers).flatMap((one) => ("key" in one ? [one.key] : [])),
    ...Object.values(signers).flatMap((one) => ("gpg" in one ? [one.keyring] : [])),
    ...Object.values(roots).map((one) => ("file" in one ? one.file : one.root)),
  ];
  return named.flatMap((file) => (file === undefined ? [] : [resolve(dirname(path), file)]));
}

// A rule that contradicts itself was meant otherwise.
function checkRule(one: PolicyDocument["default"], { signers = {} }: PolicyDocument, what: string): void {
  const wrong = (problem: string): StaveError => new StaveError("CONFIG_INVALID", `${what} ${problem}`);
  const needsSigners = one.require === "signature" || one.require === "gpg";
  if (needsSigners && one.signers === undefined) throw wrong("requires signatures, but names no signers");
  if (one.require !== "signature") {
    const others = ["index", "indexMaxAge", "bound"] as const;
    const extra = (needsSigners ? others : (["signers", ...others] as const)).find((key) => one[key] !== undefined);
    if (extra !== undefined) throw wrong(`has ${extra}, but requires no signatures of images`);
  }
  if (one.indexMaxAge !== undefined && one.index !== "signed")
    throw wrong('has indexMaxAge, which needs "index": "signed"');
  for (const signer of one.signers ?? []) {
    const found = Object.hasOwn(signers, signer) ? signers[signer] : undefined;
    if (found === undefined) throw wrong(`names the signer ${signer}, which is not under signers`);
    if ("gpg" in found !== (one.require === "gpg"))
      throw wrong(`names the signer ${signer}, which signs ${"gpg" in found ? "mirrors" : "images"}`);
  }
}

/** What a policy needs of the machine. */
export interface PolicyUse {
  readonly real: RealPath;
  readonly roots: Roots;
}

/** A policy file, read and checked. */
export class TrustPolicy {
  readonly path: string;
  readonly document: PolicyDocument;
  readonly #scopes: readonly { readonly scope: string; readonly form: string }[];
  readonly #roots: Roots;

  private constructor(path: string, document: PolicyDocument, { real, roots }: PolicyUse) {
    this.#roots = roots;
    this.path = path;
    this.document = document;
    this.#scopes = Object.keys(document.caches ?? {}).map((scope) => ({ scope, form: scopeOf(scope, path, real) }));
    const forms = new Set<string>();
    for (const { scope, form } of this.#scopes) {
      if (forms.has(anyKind(form)))
        throw new StaveError("CONFIG_INVALID", `${path} has two rules for the place of ${printable(scope)}`, {
          subject: path,
        });
      forms.add(anyKind(form));
    }
  }

  /** Reads a policy. Throws CONFIG_INVALID, NOT_FOUND, FILE_SYSTEM. */
  static async read(path: string, use: PolicyUse): Promise<TrustPolicy> {
    await refuseOpenToAll(path);
    const { bytes } = await readBounded(path, POLICY_LIMIT);
    const document = parsePolicy(bytes, path);
    for (const file of filesOf(document, path)) await refuseOpenToAll(file);
    return new TrustPolicy(path, document, use);
  }

  /** Every rule, the default last. Throws as `ruleFor`. */
  async allRules(): Promise<PlaceRule[]> {
    const rules: PlaceRule[] = [];
    for (const { scope } of this.#scopes) rules.push(await this.#rule(scope));
    return [...rules, await this.#rule(undefined)];
  }

  /** The rule for a place. Throws what reading the keys of its signers throws. */
  async ruleFor(place: string): Promise<PlaceRule> {
    const [longest] = this.#scopes
      .filter(({ form }) => covers(form, place))
      .toSorted((a, b) => anyKind(b.form).length - anyKind(a.form).length);
    return await this.#rule(longest?.scope);
  }

  async #rule(scope: string | undefined): Promise<PlaceRule> {
    const { caches = {}, revoked = {} } = this.document;
    const found = (scope === undefined ? undefined : caches[scope]) ?? this.document.default;
    const signers: Signer[] = [];
    const gpg: GpgSigner[] = [];
    for (const each of found.signers ?? []) {
      const signer = await this.#signer(each);
      if ("fingerprints" in signer) gpg.push(signer);
      else signers.push(signer);
    }
    return {
      ...{ scope, require: found.require, signers, gpg, index: found.index ?? "any", bound: found.bound ?? false },
      indexMaxAge: found.indexMaxAge === undefined ? undefined : milliseconds(found.indexMaxAge),
      revoked: {
        digests: new Set(revoked.digests),
        keys: new Set(revoked.keys),
        statements: new Set(revoked.statements),
      },
    };
  }

  async #signer(signer: string): Promise<Signer | GpgSigner> {
    const found = this.document.signers?.[signer];
    if (found === undefined) throw new StaveError("CONFIG_INVALID", `${this.path} has no signer ${signer}`);
    if ("gpg" in found) {
      const keyring = found.keyring === undefined ? undefined : resolve(dirname(this.path), found.keyring);
      return { name: signer, fingerprints: found.gpg, keyring };
    }
    const notAfter = found.notAfter === undefined ? undefined : Date.parse(found.notAfter);
    if ("key" in found)
      return { name: signer, key: await readPublicKey(resolve(dirname(this.path), found.key)), notAfter };
    const source = rootSource(found.root, this.document, this.path);
    const identity = new IdentityPattern(found, `${this.path}: the signer ${signer}`);
    return { name: signer, identity, root: () => this.#roots.root(source), notAfter };
  }
}

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

function milliseconds(age: string): number {
  return Number(age.slice(0, -1)) * (UNITS[age.slice(-1)] ?? 0);
}
