// The options of every library function, and the connection that they configure.
import type { HostCredential } from "../auth/keychain.ts";
import { Secret } from "../printable/secret.ts";
import type { ProgressSink } from "../util/progress.ts";
import type { Shape } from "./check.ts";
import { Connection, type NetworkOptions } from "./connection.ts";
import { processSurroundings, type Surroundings } from "./surroundings.ts";

/** A user name and a password, or a token, for one registry (`HOST` or `HOST:PORT`). */
export interface Login {
  readonly registry: string;
  readonly username: string;
  readonly password: string;
}

/** The options of every function. */
export interface CommonOptions extends NetworkOptions {
  /** Credentials; they take precedence over those that podman and docker stored. */
  readonly credentials?: readonly Login[] | undefined;
  /** Aborts the work, which then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each event; must not throw. */
  readonly onProgress?: ProgressSink | undefined;
  /** Replaces what is taken from this process: environment, home, working folder, clock. */
  readonly surroundings?: Partial<Surroundings> | undefined;
}

/** The types of the common options. */
export const COMMON: Shape<CommonOptions> = {
  plainHttp: "boolean",
  insecureTls: "boolean",
  caFiles: "strings",
  caFolders: "strings",
  clientCertificate: "object",
  proxy: "object",
  retries: "count",
  timeout: "count",
  connectTimeout: "count",
  minRate: "count",
  authfile: "string",
  trace: "function",
  credentials: "list",
  signal: "object",
  onProgress: "function",
  surroundings: "object",
};

/** The surroundings of this process, with the caller's replacements. */
export function surroundingsOf({ surroundings, signal }: CommonOptions): Surroundings {
  return { ...processSurroundings(), ...surroundings, signal };
}

/** Creates a connection with the caller's options. */
export function connect(
  options: CommonOptions,
  around: Surroundings,
  mirror: readonly HostCredential[] = [],
): Connection {
  const { onProgress, credentials = [] } = options;
  const given = credentials.map(({ registry, username, password }) => ({
    registry,
    username,
    password: new Secret(password),
    from: "the option credentials",
  }));
  return new Connection(around, {
    ...options,
    credentials: [...given, ...mirror],
    onWait: (milliseconds, reason) => onProgress?.({ type: "wait", milliseconds, reason }),
    onWarning: (text) => onProgress?.({ type: "warning", text }),
  });
}
