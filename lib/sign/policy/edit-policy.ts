// Changes a policy file: adds and removes rules that require signatures by a key or an identity. A policy is checked
// before and after.
import { randomUUID } from "node:crypto";
import { basename, dirname, relative } from "node:path";
import { isStaveError, StaveError } from "../../errors.ts";
import { makeFolder } from "../../util/folder.ts";
import { readBounded } from "../../util/read-file.ts";
import { replaceFile } from "../../util/replace-file.ts";
import { readPublicKey } from "../key/key-file.ts";
import { refuseOpenToAll } from "./open-to-all.ts";
import { scopeOf } from "./policy-scope.ts";
import { POLICY_LIMIT, type PolicyDocument, parsePolicy } from "./trust-policy.ts";

/** Whose signatures a new rule requires. */
export type NewSigner =
  | { /** The path of the public key. */ readonly key: string }
  | {
      readonly issuer: string;
      readonly identity: string;
      /** The path of the trusted root; undefined for the public instance. */
      readonly trustedRoot: string | undefined;
    };

/** A rule to add. */
export interface NewRule {
  readonly scope: string;
  readonly signer: NewSigner;
  /** The name of the signer; default: that of the key file, or made from the identity. */
  readonly name: string | undefined;
  readonly isIndexSigned: boolean;
}

/**
 * Adds a rule, or a signer to an existing one; creates the file. Throws CONFIG_INVALID, USAGE, NOT_FOUND, FILE_SYSTEM.
 */
export async function addRule(path: string, rule: NewRule): Promise<{ signer: string; isNew: boolean }> {
  scopeOf(rule.scope, path, (one) => one);
  const folder = dirname(path);
  const fromHere = (file: string): string => {
    const below = relative(folder, file);
    return below.startsWith("..") ? file : below;
  };
  if ("key" in rule.signer) {
    await refuseOpenToAll(rule.signer.key);
    await readPublicKey(rule.signer.key);
  }
  const before = await read(path);
  const document: PolicyDocument = before ?? { version: 1, default: { require: "none" } };
  const signer = rule.name ?? nameOf(rule.signer);
  const added = signerEntry(rule.signer, signer, fromHere);
  const known = document.signers?.[signer];
  if (known !== undefined && !isSame(known, added.signer))
    throw new StaveError("USAGE", `${path} already has a signer ${signer}, with another key or identity`, {
      subject: path,
      hint: "choose another name with `--name`",
    });
  const old = document.caches?.[rule.scope];
  if (old !== undefined && old.require !== "signature")
    throw new StaveError("USAGE", `${path} has another rule for ${rule.scope}: ${old.require}`, {
      subject: path,
      hint: `remove it first: \`stave trust remove ${rule.scope}\``,
    });
  const changed: PolicyDocument = {
    ...document,
    caches: {
      ...document.caches,
      [rule.scope]: {
        ...old,
        require: "signature",
        signers: [...new Set([...(old?.signers ?? []), signer])],
        ...(rule.isIndexSigned && { index: "signed" as const }),
      },
    },
    signers: { ...document.signers, [signer]: known ?? added.signer },
    ...((document.roots ?? added.roots) && { roots: { ...document.roots, ...added.roots } }),
  };
  makeFolder(folder);
  await write(path, changed);
  return { signer, isNew: before === undefined };
}

type SignerEntry = NonNullable<PolicyDocument["signers"]>[string];

function signerEntry(
  signer: NewSigner,
  name: string,
  fromHere: (file: string) => string,
): { signer: SignerEntry; roots?: PolicyDocument["roots"] } {
  if ("key" in signer) return { signer: { key: fromHere(signer.key) } };
  const { issuer, identity, trustedRoot } = signer;
  if (trustedRoot === undefined) return { signer: { issuer, identity } };
  return { signer: { issuer, identity, root: name }, roots: { [name]: { file: fromHere(trustedRoot) } } };
}

// A signer that has more, such as an end, is the same one.
function isSame(known: SignerEntry, added: SignerEntry): boolean {
  const old: Readonly<Record<string, unknown>> = known;
  return Object.entries(added).every(([key, value]) => old[key] === value);
}

/** The longest name that a policy permits. */
const NAME_LENGTH = 64;

function nameOf(signer: NewSigner): string {
  if ("key" in signer) return basename(signer.key).replace(/\.(?:pub|pem)$/, "");
  const bare = signer.identity.replace(/^https:\/\/|@.*$/g, "").replaceAll(/[^A-Za-z0-9._-]+/g, "-");
  return bare.replace(/^-+|-+$/g, "").slice(-NAME_LENGTH) || "identity";
}

/** Removes the rule for a place. Throws NOT_FOUND if there is none, CONFIG_INVALID, FILE_SYSTEM. */
export async function removeRule(path: string, scope: string): Promise<void> {
  const document = await read(path);
  if (document?.caches?.[scope] === undefined)
    throw new StaveError("NOT_FOUND", `${path} has no rule for ${scope}`, {
      subject: path,
      hint: "`stave trust show` lists the rules",
    });
  const caches = Object.fromEntries(Object.entries(document.caches).filter(([one]) => one !== scope));
  await write(path, { ...document, caches });
}

async function read(path: string): Promise<PolicyDocument | undefined> {
  try {
    await refuseOpenToAll(path);
    const { bytes } = await readBounded(path, POLICY_LIMIT);
    return parsePolicy(bytes, path);
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

async function write(path: string, document: PolicyDocument): Promise<void> {
  const text = `${JSON.stringify(document, undefined, 2)}\n`;
  parsePolicy(Buffer.from(text), path);
  await replaceFile(path, { temporary: `${path}.${randomUUID()}.tmp`, mode: 0o644 }, async (file) => {
    await file.writeFile(text);
  });
}
