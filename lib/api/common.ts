// The options that every function of the library has, and the connection that they lead to.
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

/** The options that every function has. */
export interface CommonOptions extends NetworkOptions {
  /** Credentials; they come before those of the places of podman and docker. */
  readonly credentials?: readonly Login[] | undefined;
  /** Ends the work; what it throws is the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called with what happens; must not throw. */
  readonly onProgress?: ProgressSink | undefined;
  /** Replaces what is taken from this process: environment, home, working folder, clock. */
  readonly surroundings?: Partial<Surroundings> | undefined;
}

/** What the common options must be. */
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

/** The surroundings that options leave or change. */
export function surroundingsOf({ surroundings, signal }: CommonOptions): Surroundings {
  return { ...processSurroundings(), ...surroundings, signal };
}

/** A connection with the options of a caller. */
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
