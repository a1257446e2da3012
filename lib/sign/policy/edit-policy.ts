// Changes a policy file: adds and removes rules that require signatures by a key. A policy is checked before and
// after.
import { randomUUID } from "node:crypto";
import { basename, dirname, relative } from "node:path";
import { isStaveError, StaveError } from "../../errors.ts";
import { makeFolder } from "../../util/folder.ts";
import { readBounded } from "../../util/read-file.ts";
import { replaceFile } from "../../util/replace-file.ts";
import { readPublicKey } from "../key/key-file.ts";
import { scopeOf } from "./policy-scope.ts";
import { POLICY_LIMIT, type PolicyDocument, parsePolicy } from "./trust-policy.ts";

/** A rule to add. */
export interface NewRule {
  readonly scope: string;
  /** The path of the public key. */
  readonly key: string;
  /** The name of the signer; default: that of the key file. */
  readonly name: string | undefined;
  readonly isIndexSigned: boolean;
}

/**
 * Adds a rule, or a signer to an existing one; creates the file. Throws CONFIG_INVALID, USAGE, NOT_FOUND, FILE_SYSTEM.
 */
export async function addRule(path: string, rule: NewRule): Promise<{ signer: string; isNew: boolean }> {
  scopeOf(rule.scope, path, (one) => one);
  await readPublicKey(rule.key);
  const before = await read(path);
  const document: PolicyDocument = before ?? { version: 1, default: { require: "none" } };
  const signer = rule.name ?? basename(rule.key).replace(/\.(?:pub|pem)$/, "");
  const folder = dirname(path);
  const below = relative(folder, rule.key);
  const key = below.startsWith("..") ? rule.key : below;
  const known = document.signers?.[signer];
  if (known !== undefined && known.key !== key)
    throw new StaveError("USAGE", `${path} already has a signer ${signer} with the key ${known.key}`, {
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
    signers: { ...document.signers, [signer]: known ?? { key } },
  };
  makeFolder(folder);
  await write(path, changed);
  return { signer, isNew: before === undefined };
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
