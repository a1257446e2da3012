// The credential files of podman (`auth.json`) and docker (`config.json`): reads their common format and looks up
// entries.
import { readFile, stat } from "node:fs/promises";
import * as z from "zod";
import { fileError, StaveError, systemCode } from "../errors.ts";
import { parseBySchema } from "../oci/manifest.ts";
import { Secret } from "../printable/secret.ts";
import { withoutTrailing } from "../util/without-trailing.ts";
import type { Credential } from "./credential.ts";

const entrySchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});

/** The schema of both files; unknown keys are kept when stave writes. */
export const authFileSchema = z.looseObject({
  auths: z.record(z.string(), entrySchema).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});

/** The content of a credential file. */
export type AuthFile = z.infer<typeof authFileSchema>;
type Entry = z.infer<typeof entrySchema>;

const FILE_LIMIT = 4 * 1024 * 1024;

/** Reads a credential file; undefined if it does not exist. Throws CONFIG_INVALID if it is malformed or too large. */
export async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > FILE_LIMIT)
      throw new StaveError("CONFIG_INVALID", `${path} has ${size} bytes, too many for a credentials file`, {
        subject: path,
      });
    text = await readFile(path, "utf8");
  } catch (cause) {
    const code = systemCode(cause);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw fileError(cause, "read", path);
  }
  if (text.trim() === "") return {};
  try {
    return parseBySchema(text, authFileSchema, path);
  } catch (cause) {
    // The parser's message could quote a secret.
    throw new StaveError("CONFIG_INVALID", `${path} is not a valid credentials file`, {
      subject: path,
      hint: "correct it, or remove it and log in again",
      cause: cause instanceof StaveError ? cause.code : undefined,
    });
  }
}

// Docker's name for Docker Hub in its own file.
const HUB_KEY = "index.docker.io/v1";
const HUB = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

/** The keys under which credentials for a repository may be stored, most specific first. */
export function keysFor(registry: string, repository?: string): string[] {
  const parts = repository === undefined || repository === "" ? [] : repository.split("/");
  const keys: string[] = [];
  for (let length = parts.length; length > 0; length--) keys.push(`${registry}/${parts.slice(0, length).join("/")}`);
  keys.push(registry);
  if (HUB.has(registry)) keys.push(HUB_KEY, ...[...HUB].filter((name) => name !== registry));
  return keys;
}

/** A key of the file without scheme and trailing slashes, for comparison. */
function normalKey(key: string): string {
  return withoutTrailing(key.replace(/^https?:\/\//, ""), "/").replace(/^([^/]+)\/v[12]$/, (whole, host: string) =>
    host === "index.docker.io" ? whole : host,
  );
}

/** The credential of the first matching key. Throws CONFIG_INVALID for a malformed entry. */
export function findInFile(file: AuthFile, keys: readonly string[], path: string): Credential | undefined {
  const byKey = new Map(Object.entries(file.auths ?? {}).map(([key, entry]) => [normalKey(key), { key, entry }]));
  for (const key of keys) {
    const found = byKey.get(key);
    const credential = found && credentialOf(found.entry, found.key, path);
    if (credential) return credential;
  }
  return undefined;
}

function credentialOf(entry: Entry, key: string, path: string): Credential | undefined {
  if (entry.registrytoken) return { kind: "bearer", token: new Secret(entry.registrytoken) };
  if (entry.identitytoken) return { kind: "identity", token: new Secret(entry.identitytoken) };
  if (entry.auth) {
    const text = withoutTrailing(Buffer.from(entry.auth, "base64").toString("utf8"), "\0");
    const colon = text.indexOf(":");
    if (colon <= 0)
      throw new StaveError(
        "CONFIG_INVALID",
        `${path} has a damaged entry for ${JSON.stringify(key.slice(0, 100))}: "auth" is not base64 of USER:PASSWORD`,
        {
          subject: path,
          hint: `log in again: stave login ${key.replace(/^https?:\/\//, "").slice(0, 100)}`,
        },
      );
    return passwordCredential(text.slice(0, colon), text.slice(colon + 1));
  }
  if (entry.username && entry.password !== undefined) return passwordCredential(entry.username, entry.password);
  // Docker leaves an empty entry for credentials that a helper stores.
  return undefined;
}

/**
 * A credential from a user name and password; the user name `<token>` marks an identity token (docker credential
 * helpers).
 */
export function passwordCredential(username: string, password: string): Credential {
  if (username === "<token>") return { kind: "identity", token: new Secret(password) };
  return { kind: "password", username, password: new Secret(password) };
}

/** The helper that a file names for a key: in `credHelpers` for that host, otherwise in `credsStore`. */
export function helperFor(file: AuthFile, keys: readonly string[]): { helper: string; server: string } | undefined {
  for (const [host, helper] of Object.entries(file.credHelpers ?? {}))
    if (keys.includes(normalKey(host))) return { helper, server: host };
  if (!file.credsStore) return undefined;
  const host = keys.at(-1) ?? "";
  return { helper: file.credsStore, server: keys.includes(HUB_KEY) ? `https://${HUB_KEY}/` : host };
}
