// The options of every library function, and the connection that they configure.
import type { HostCredential } from "../../auth/keychain.ts";
import type { Transport } from "../../http/types.ts";
import { Secret } from "../../printable/secret.ts";
import type { NetworkSettings } from "../../spack/config/settings.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { withDefaults } from "../../util/with-defaults.ts";
import { processSurroundings, type Surroundings } from "../machine/surroundings.ts";
import { Connection, type NetworkOptions } from "../places/connection.ts";
import type { CacheLocation } from "../places/mirror-location.ts";
import { networkFor } from "../places/spack-network.ts";
import type { TrustUse } from "../signers/trust.ts";
import type { Shape } from "./check-options.ts";

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
  /**
   * The trust policy for caches that are read: a file, or `false` for none. Default: `$STAVE_TRUST`, else
   * `~/.config/stave/trust.json`, else `/etc/stave/trust.json`.
   */
  readonly trust?: string | false | undefined;
  /** Aborts the work, which then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each event; must not throw. */
  readonly onProgress?: ProgressSink | undefined;
  /** Replaces what is taken from this process: environment, home, working folder, clock. */
  readonly surroundings?: Partial<Omit<Surroundings, "signal">> | undefined;
}

/** The types of the common options. */
export const COMMON: Shape<CommonOptions> = {
  plainHttp: "boolean",
  insecureTls: "boolean",
  caFiles: "strings",
  caFolders: "strings",
  clientCertificate: { fields: { certificate: "string", key: "string" }, isWhole: true },
  proxy: { fields: { http: "string", https: "string", noProxy: "string" } },
  retries: "count",
  timeout: "count",
  connectTimeout: "count",
  minRate: "number",
  authfile: "string",
  trace: "function",
  credentials: { fields: { registry: "string", username: "string", password: "string" }, isArray: true, isWhole: true },
  ...{ signal: "signal", onProgress: "function", trust: "name or false" },
  surroundings: {
    fields: { env: "any", cwd: "string", home: "string", clock: "any", uid: "count" },
  },
};

/** The surroundings of this process, with the caller's replacements. */
export function surroundingsOf({ surroundings = {}, signal }: CommonOptions): Surroundings {
  return { ...withDefaults<Partial<Surroundings>, Surroundings>(surroundings, processSurroundings()), signal };
}

/** How the policy applies, from the options of a library function. */
export function trustUseOf({ trust, onProgress }: CommonOptions, around: Surroundings, transport: Transport): TrustUse {
  return {
    ...{ around, transport },
    options: trust === false ? { insecureNoSignatureCheck: true } : { trust },
    onWarning: (text) => onProgress?.({ type: "warning", text }),
  };
}

/** What a connection is opened for. */
export interface ConnectionUse {
  readonly around: Surroundings;
  readonly places: readonly CacheLocation[];
  /** Spack's network settings, where its configuration has been read. */
  readonly settings?: (() => NetworkSettings) | undefined;
  /** The credentials of a mirror; those of the caller come first. */
  readonly mirror?: readonly HostCredential[] | undefined;
}

/** A connection with the options of a caller, and Spack's settings where a registry is used. */
export async function connect(options: CommonOptions, use: ConnectionUse): Promise<Connection> {
  const { around, places, settings, mirror = [] } = use;
  const { onProgress, credentials = [] } = options;
  const onWarning = (text: string): void => onProgress?.({ type: "warning", text });
  const given = credentials.map(({ registry, username, password }) => ({
    registry,
    username,
    password: new Secret(password),
    from: "the option credentials",
  }));
  return new Connection(around, {
    ...(await networkFor(options, { around, places, settings, onWarning })),
    credentials: [...given, ...mirror],
    onWait: (milliseconds, reason) => onProgress?.({ type: "wait", milliseconds, reason }),
    onWarning,
  });
}
