// `login` and `logout`: credentials are checked, then stored where podman stores them, or by a helper.
import { realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { fileError, StaveError } from "../errors.ts";
import { saysHtml, webPageError } from "../http/response.ts";
import type { Authorizer, Transport } from "../http/types.ts";
import type { Secret } from "../printable/secret.ts";
import { makeFolder } from "../util/folder.ts";
import { replaceFile } from "../util/replace-file.ts";
import type { Clock } from "../util/time.ts";
import { type AuthFile, helperFor, keysFor, readAuthFile } from "./auth-file.ts";
import { eraseWithHelper, storeWithHelper } from "./helper.ts";
import { authFilePlaces, type KeychainOptions, runtimeAuthFile } from "./keychain.ts";

/** What was stored, and where. */
export interface LoginReport {
  registry: string;
  username: string;
  /** A file, or `docker-credential-NAME`. */
  storedIn: string;
  /** False if the registry did not ask for credentials, so they could not be checked. */
  checked: boolean;
  /** Nothing was stored. */
  isDryRun: boolean;
}

/** The files and helpers from which a login was removed. */
export interface LogoutReport {
  registry: string;
  removedFrom: string[];
  /** Nothing was removed. */
  isDryRun: boolean;
}

/** How to use stored credentials. */
export interface StoreOptions extends KeychainOptions {
  clock: Clock;
  /** Only find out which files and helpers would be used. */
  dryRun?: boolean | undefined;
}

/** Checks with the registry that it accepts the authorizer's credentials. Returns false if it did not ask for any. */
export async function checkLogin(
  registry: string,
  options: {
    transport: Transport;
    authorizer: Authorizer;
    scheme?: "https" | "http" | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<boolean> {
  const { transport, signal } = options;
  let asked = false;
  const authorizer: Authorizer = {
    authorize: (request, s) => options.authorizer.authorize(request, s),
    challenged: (request, refusal, s) => {
      asked = true;
      return options.authorizer.challenged(request, refusal, s);
    },
  };
  const host = registry === "docker.io" || registry === "index.docker.io" ? "registry-1.docker.io" : registry;
  const scheme = options.scheme ?? (await transport.schemeFor(host, signal));
  const url = new URL(`${scheme}://${host}/v2/`);
  if (!transport.maySendSecrets(url))
    throw new StaveError("DENIED", `the password for ${registry} would be sent over plain http`, {
      subject: registry,
      hint: "use `plainHttp` if you trust the network",
    });
  const response = await transport.requestBytes(
    {
      method: "GET",
      url,
      auth: { authorizer, registry, scopes: [] },
      accept: [200],
      op: "log in to",
      subject: registry,
      signal,
    },
    1024 * 1024,
  );
  // Some registries label an empty response as HTML, but they all send the API header (OCI distribution 1.1,
  // "Determining Support").
  if (saysHtml(response) && response.headers["docker-distribution-api-version"] === undefined)
    throw webPageError({ op: "log in to", subject: registry }, response.url);
  return asked;
}

/** Stores a login with the helper of the file in use, or in that file. Returns the place. */
export async function storeLogin(
  login: { registry: string; username: string; password: Secret },
  options: StoreOptions,
): Promise<string> {
  const { registry, username, password } = login;
  const { dryRun = false } = options;
  const path = options.authfile ?? (options.env["REGISTRY_AUTH_FILE"] || runtimeAuthFile(options));
  const file = (await readAuthFile(path)) ?? {};
  const helper = helperFor(file, keysFor(registry));
  if (helper) {
    const { env, helperTimeout: timeout } = options;
    if (!dryRun) await storeWithHelper(helper.helper, helper.server, username, password.reveal(), { env, timeout });
    return `docker-credential-${helper.helper}`;
  }
  if (dryRun) return path;
  const auth = Buffer.from(`${username}:${password.reveal()}`, "utf8").toString("base64");
  const kept = { ...file, auths: { ...file.auths, [registry]: { auth } } };
  await writeAuthFile(path, kept, options.clock);
  return path;
}

/** Removes a registry from every file and helper that has it. Throws NOT_FOUND if none has. */
export async function logout(registry: string, options: StoreOptions): Promise<LogoutReport> {
  const { dryRun: isDryRun = false } = options;
  const removedFrom: string[] = [];
  const keys = keysFor(registry);
  for (const path of authFilePlaces(options)) {
    const file = await readAuthFile(path);
    if (file === undefined) continue;
    const helper = helperFor(file, keys);
    if (helper) {
      const { env, helperTimeout: timeout } = options;
      if (!isDryRun) await eraseWithHelper(helper.helper, helper.server, { env, timeout });
      removedFrom.push(`docker-credential-${helper.helper}`);
    }
    const auths = file.auths ?? {};
    const same = (key: string) => key.replace(/^https?:\/\//, "").replace(/\/+$/, "") === registry;
    if (!Object.keys(auths).some(same)) continue;
    const rest = Object.fromEntries(Object.entries(auths).filter(([key]) => !same(key)));
    if (!isDryRun) await writeAuthFile(path, { ...file, auths: rest }, options.clock);
    removedFrom.push(path);
  }
  if (removedFrom.length > 0) return { registry, removedFrom, isDryRun };
  throw new StaveError("NOT_FOUND", `not logged in to ${registry}; looked in ${authFilePlaces(options).join(", ")}`, {
    subject: registry,
  });
}

/** Replaces a credentials file atomically, with mode 0600 from the first byte. */
async function writeAuthFile(named: string, content: AuthFile, clock: Clock): Promise<void> {
  // Write through a symbolic link, so that the link stays.
  const path = await realpath(named).catch(() => named);
  const temporary = `${path}.${clock.now().toString(36)}${Math.floor(clock.random() * 1e9).toString(36)}`;
  try {
    makeFolder(dirname(path), 0o700);
  } catch (cause) {
    throw fileError(cause, "write", path);
  }
  await replaceFile(path, { temporary, mode: 0o600 }, async (file) => {
    // The umask may have removed more than intended.
    await file.chmod(0o600);
    await file.writeFile(`${JSON.stringify(content, null, "\t")}\n`);
  });
}
