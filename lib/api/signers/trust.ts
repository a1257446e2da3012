// Finds the trust policy and applies it to the places that are opened. Without a policy nothing of it is loaded.
import { realpathSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import type { GpgTrust } from "../../cache/mirror/gpg.ts";
import type { ContentGuard } from "../../cache/oci-cache.ts";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { isDigest } from "../../oci/digest.ts";
import { formatReference, imageName } from "../../oci/reference.ts";
import type { PlaceGuard } from "../../sign/policy/place-guard.ts";
import type { PlaceRule, TrustPolicy } from "../../sign/policy/trust-policy.ts";
import type { JudgeOptions } from "../../sign/signature/judge.ts";
import type { ReadTarget } from "../../target/target.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import { readBounded } from "../../util/read-file.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { xdgFolder } from "../machine/xdg-folder.ts";
import type { CacheLocation } from "../places/mirror-location.ts";
import { type NamedSigners, namedSigners } from "./named-signers.ts";

/** Maximum number of bytes of a file with gpg keys. */
const KEYRING_LIMIT = 1024 * 1024;

/** How a user chooses the policy. */
export interface TrustOptions {
  /** The file of the policy. Default: `$STAVE_TRUST`, else the user's, else the system's. */
  readonly trust?: string | undefined;
  /** Ignore the policy. */
  readonly insecureNoSignatureCheck?: boolean | undefined;
  /** One of these must have signed every image; beside what the policy requires. */
  readonly signedBy?: NamedSigners | undefined;
}

/** What opening a place provides. */
export interface TrustUse {
  readonly around: Surroundings;
  readonly options: TrustOptions;
  /** The way to the network, for the roots of identities; undefined if only what is kept of them may be used. */
  readonly transport: Transport | undefined;
  readonly onWarning: (text: string) => void;
}

/** What guards need, with the options of their judges. */
export interface GuardUse extends TrustUse, JudgeOptions {
  readonly memory?: DiskCache | undefined;
}

/** The paths where a policy is looked for if none is named; the first that exists is used alone. */
export function policyPaths(around: Surroundings): string[] {
  return [join(xdgFolder(around, "XDG_CONFIG_HOME"), "stave/trust.json"), "/etc/stave/trust.json"];
}

/**
 * The path of the policy; undefined if there is none. A file that is named must exist. Throws NOT_FOUND, and
 * FILE_SYSTEM if it cannot be determined whether one exists.
 */
export function policyPath(around: Surroundings, { trust }: TrustOptions): string | undefined {
  const named = trust ?? (around.env["STAVE_TRUST"] || undefined);
  if (named === undefined)
    return policyPaths(around)
      .map((path) => resolve(around.cwd, path))
      .find(exists);
  const path = resolve(around.cwd, named);
  if (exists(path)) return path;
  throw new StaveError("NOT_FOUND", `there is no trust policy ${path}`, {
    subject: path,
    hint: trust === undefined ? "correct or unset STAVE_TRUST" : "check the path",
  });
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (cause) {
    if (systemCode(cause) === "ENOTDIR") return false;
    throw fileError(cause, "look for", path);
  }
}

/**
 * Reads the policy; undefined if there is none. Without a transport, roots are taken from files and from what is kept.
 * Throws CONFIG_INVALID, NOT_FOUND, FILE_SYSTEM.
 */
export async function readPolicy(
  around: Surroundings,
  options: TrustOptions,
  transport: Transport | undefined,
): Promise<TrustPolicy | undefined> {
  const path = policyPath(around, options);
  if (path === undefined) return undefined;
  const [{ TrustPolicy }, { rootsOf }] = await Promise.all([
    import("../../sign/policy/trust-policy.ts"),
    import("./roots-of.ts"),
  ]);
  return await TrustPolicy.read(path, { real: realPath, roots: rootsOf(around, transport) });
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** A place in the form of policies. */
export async function policyPlace(location: CacheLocation, cwd: string): Promise<string> {
  const scope = await import("../../sign/policy/policy-scope.ts");
  if (location.kind === "registry")
    return scope.registryPlace(location.reference.registry, location.reference.repository);
  if (location.kind === "layout") return scope.layoutPlace(resolve(cwd, location.directory), realPath);
  if (location.kind === "mirror folder") return scope.folderPlace(location.directory, realPath);
  if (location.kind === "web mirror") return scope.webPlace(location.url);
  return scope.bucketPlace(location.scheme, location.bucket, location.prefix);
}

/** A cache as statements name it, `oci://HOST/REPO`; undefined for a directory, which may be moved. */
export function signedName(location: CacheLocation): string | undefined {
  if (location.kind !== "registry") return undefined;
  return `oci://${formatReference({ ...location.reference, tag: undefined, digest: undefined })}`;
}

/**
 * The guards of a place, all of which must let an image pass: that of the policy, if there is one, and that of the keys
 * that were named. Throws what reading them throws. With `insecureNoSignatureCheck` the policy is ignored, and the user
 * is warned.
 */
export async function guardsOf(location: CacheLocation, target: ReadTarget, use: GuardUse): Promise<PlaceGuard[]> {
  const { around, options, onWarning, memory, reusesBundles } = use;
  const policy = await checkedPolicy(use);
  const { signedBy } = options;
  if (policy === undefined && signedBy === undefined) return [];
  const place = await policyPlace(location, around.cwd);
  const [{ PlaceGuard }, { SignatureFinder }, { Generations }] = await Promise.all([
    import("../../sign/policy/place-guard.ts"),
    import("../../sign/signature/find.ts"),
    import("../../sign/policy/generations.ts"),
  ]);
  const state = xdgFolder(around, "XDG_STATE_HOME");
  const common = {
    ...{ place, cache: signedName(location), clock: around.clock, onWarning, reusesBundles },
    finder: new SignatureFinder(target, { memory }),
    generations: new Generations(resolve(around.cwd, state, "stave/generations"), () => around.clock.random()),
  };
  const guards: PlaceGuard[] = [];
  if (policy !== undefined)
    guards.push(new PlaceGuard({ ...common, rule: await policy.ruleFor(place), policy: policy.path }));
  if (signedBy !== undefined)
    guards.push(new PlaceGuard({ ...common, rule: await namedRule(signedBy, use), policy: "the named signer" }));
  return guards;
}

async function namedRule(named: NamedSigners, { around, transport }: TrustUse): Promise<PlaceRule> {
  const { NO_REVOCATIONS } = await import("../../sign/signature/judge.ts");
  const signers = await namedSigners(named, around, transport);
  return {
    ...{ scope: undefined, require: "signature", signers, gpg: [] },
    ...{ index: "any", indexMaxAge: undefined, bound: false },
    revoked: NO_REVOCATIONS,
  };
}

// The policy that applies, unless the user has switched it off.
async function checkedPolicy({ around, options, transport, onWarning }: TrustUse): Promise<TrustPolicy | undefined> {
  if (!options.insecureNoSignatureCheck) return await readPolicy(around, options, transport);
  const path = policyPath(around, options);
  if (path !== undefined) onWarning(`signatures are not checked, although ${path} may require them`);
  return undefined;
}

/**
 * The digest of an image that the policy lets pass, for use instead of its tag, which may move; the reference as it is
 * if there is no policy. Throws as the guard does, and NOT_FOUND.
 */
export async function trustedReference(
  location: CacheLocation,
  target: ReadTarget,
  reference: string,
  use: TrustUse,
): Promise<string> {
  const guards = await guardsOf(location, target, use);
  if (guards.length === 0) return reference;
  const { signal } = use.around;
  const name = imageName(target.name, reference);
  const manifest = await target.headManifest(reference, { signal });
  if (manifest === undefined) throw new StaveError("NOT_FOUND", `${name} does not exist`, { subject: name });
  const tag = isDigest(reference) ? undefined : reference;
  for (const guard of guards) await guard.image({ name, digest: manifest.digest, tag }, { signal });
  return manifest.digest;
}

/** The guard of a cache of images, as the cache takes it. */
export async function cacheGuard(
  location: CacheLocation,
  target: ReadTarget,
  use: Omit<GuardUse, "reusesBundles">,
): Promise<ContentGuard | undefined> {
  const guards = await guardsOf(location, target, { ...use, reusesBundles: true });
  if (guards.length === 0) return undefined;
  // Loaded here, because a copy of images needs nothing of Spack.
  const { parseSpecTag } = await import("../../cache/spec-tag.ts");
  return {
    async image(tag, { digest }, options) {
      const image = { name: imageName(target.name, tag), digest, tag, dagHash: parseSpecTag(tag)?.hash };
      for (const guard of guards) await guard.image(image, options);
    },
    async index(manifest, options) {
      for (const guard of guards) await guard.index(target.name, manifest, options);
    },
  };
}

/**
 * What the policy requires of a mirror: gpg signatures by these keys; undefined if it requires none. Throws
 * SIGNATURE_MISSING for a mirror whose place needs signatures of images, which mirrors cannot have, and what reading
 * the policy and its keys throws.
 */
export async function mirrorTrust(location: CacheLocation, name: string, use: TrustUse): Promise<GpgTrust | undefined> {
  if (use.options.signedBy !== undefined)
    throw new StaveError(
      "SIGNATURE_MISSING",
      `${name} may not be used: its specs are no images that can be signed so`,
      {
        subject: name,
        hint: "leave out `key` and `certificateIdentity`; mirrors have gpg signatures, which Spack's configuration requires",
      },
    );
  const policy = await checkedPolicy(use);
  if (policy === undefined) return undefined;
  const { require, scope, gpg } = await policy.ruleFor(await policyPlace(location, use.around.cwd));
  if (require === "none") return undefined;
  if (require === "gpg") {
    const keyrings: Buffer[] = [];
    for (const { keyring } of gpg)
      if (keyring !== undefined) keyrings.push((await readBounded(keyring, KEYRING_LIMIT)).bytes);
    return { fingerprints: new Set(gpg.flatMap(({ fingerprints }) => fingerprints)), keyrings };
  }
  const why = require === "reject" ? "rejects" : "requires signatures of images for";
  throw new StaveError(
    "SIGNATURE_MISSING",
    `${name} may not be used: ${policy.path} ${why} ${scope ?? "other places"}`,
    {
      subject: name,
      hint: '`stave trust show` lists the rules; mirrors have gpg signatures: "require": "gpg"',
    },
  );
}
