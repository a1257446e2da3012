// Finds credentials, in this order: given explicitly, the environment, the files and helpers of podman and docker.
import { join } from "node:path";
import { isStaveError, type StaveError } from "../errors.ts";
import { Secret } from "../printable/secret.ts";
import { findInFile, helperFor, keysFor, passwordCredential, readAuthFile } from "./auth-file.ts";
import type { FoundCredential } from "./credential.ts";
import { askHelper } from "./helper.ts";

/** Credentials that the caller has for one host, for example from a mirror in Spack's configuration. */
export interface HostCredential {
  registry: string;
  username: string;
  password: Secret;
  /** Their origin, for messages. */
  from: string;
}

/** The sources of a keychain; the environment is passed in. */
export interface KeychainOptions {
  env: Readonly<Record<string, string | undefined>>;
  home: string;
  uid?: number | undefined;
  /** The file named on the command line; if set, no other file is read. */
  authfile?: string | undefined;
  /** Tried before everything else. */
  explicit?: readonly HostCredential[] | undefined;
  helperTimeout?: number | undefined;
  /** Called for a source that cannot be read; the others are still tried. */
  onWarning?: ((error: StaveError) => void) | undefined;
}

/** The result of a lookup: the credential, if any, and every source that was tried. */
export interface KeychainAnswer {
  found: FoundCredential | undefined;
  looked: string[];
}

/** The credential files in the order in which they are read. */
export function authFilePlaces(options: Pick<KeychainOptions, "env" | "home" | "uid" | "authfile">): string[] {
  const { env, home, authfile } = options;
  const named = authfile ?? env["REGISTRY_AUTH_FILE"];
  if (named) return [named];
  const config = env["XDG_CONFIG_HOME"] || join(home, ".config");
  return [runtimeAuthFile(options), join(config, "containers", "auth.json"), dockerConfig(env, home)];
}

/** podman's own file, the default destination of a login. */
export function runtimeAuthFile(options: Pick<KeychainOptions, "env" | "home" | "uid">): string {
  const { env, uid } = options;
  const runtime = env["XDG_RUNTIME_DIR"];
  // containers/image, "defaultPerUIDPathFormat": without a session folder, a folder of the user below /run.
  return runtime ? join(runtime, "containers", "auth.json") : `/run/containers/${uid ?? 0}/auth.json`;
}

function dockerConfig(env: KeychainOptions["env"], home: string): string {
  return join(env["DOCKER_CONFIG"] || join(home, ".docker"), "config.json");
}

/** Finds credentials and caches the results for the life of the process. */
export class Keychain {
  readonly #options: KeychainOptions;
  readonly #answers = new Map<string, Promise<KeychainAnswer>>();

  constructor(options: KeychainOptions) {
    this.#options = options;
  }

  /** The credential for a repository of a registry. A failing source is reported to `onWarning` and skipped. */
  resolve(registry: string, repository?: string, signal?: AbortSignal): Promise<KeychainAnswer> {
    const key = `${registry}/${repository ?? ""}`;
    const known = this.#answers.get(key);
    if (known) return known;
    const answer = this.#look(registry, repository, signal);
    this.#answers.set(key, answer);
    answer.catch(() => this.#answers.delete(key));
    return answer;
  }

  async #look(
    registry: string,
    repository: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<KeychainAnswer> {
    const looked: string[] = [];
    const { explicit = [], env } = this.#options;
    for (const { registry: host, username, password, from } of explicit) {
      looked.push(from);
      if (host === registry)
        return { found: { credential: passwordCredential(username, password.reveal()), from }, looked };
    }
    const fromEnvironment = this.#environment(registry);
    looked.push("STAVE_USERNAME and STAVE_PASSWORD, or STAVE_TOKEN, with STAVE_REGISTRY");
    if (fromEnvironment) return { found: fromEnvironment, looked };
    const keys = keysFor(registry, repository);
    for (const path of authFilePlaces(this.#options)) {
      looked.push(path);
      try {
        const found = await this.#file(path, keys, env, looked, signal);
        if (found) return { found, looked };
      } catch (error) {
        signal?.throwIfAborted();
        if (!isStaveError(error)) throw error;
        // A public image can be pulled even if a source is broken.
        this.#options.onWarning?.(error);
      }
    }
    return { found: undefined, looked };
  }

  async #file(
    path: string,
    keys: string[],
    env: KeychainOptions["env"],
    looked: string[],
    signal: AbortSignal | undefined,
  ): Promise<FoundCredential | undefined> {
    const file = await readAuthFile(path);
    if (file === undefined) return undefined;
    const helper = helperFor(file, keys);
    if (helper) {
      looked.push(`docker-credential-${helper.helper}`);
      const credential = await askHelper(helper.helper, helper.server, {
        env,
        timeout: this.#options.helperTimeout,
        signal,
      });
      if (credential) return { credential, from: `docker-credential-${helper.helper}` };
    }
    const credential = findInFile(file, keys, path);
    return credential && { credential, from: path };
  }

  /**
   * The environment's credentials are valid only for the registry it names, so a secret never reaches another host by
   * accident.
   */
  #environment(registry: string): FoundCredential | undefined {
    const { env } = this.#options;
    const from = "the environment (STAVE_REGISTRY)";
    if (env["STAVE_REGISTRY"] !== registry) return undefined;
    if (env["STAVE_TOKEN"]) return { credential: { kind: "bearer", token: new Secret(env["STAVE_TOKEN"]) }, from };
    if (!env["STAVE_USERNAME"] || env["STAVE_PASSWORD"] === undefined) return undefined;
    return { credential: passwordCredential(env["STAVE_USERNAME"], env["STAVE_PASSWORD"]), from };
  }
}
