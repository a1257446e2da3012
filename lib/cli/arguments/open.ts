// From what the user typed and the environment says to an open target: one transport, one keychain for the whole run.
import { openSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { Keychain, type KeychainOptions } from "../../auth/keychain.ts";
import { createAuthorizer } from "../../auth/token.ts";
import { fileError, StaveError } from "../../errors.ts";
import { createTransport } from "../../http/transport.ts";
import type { Authorizer, TraceEvent, Transport } from "../../http/types.ts";
import { DEFAULT_REGISTRY, DEFAULT_TAG, formatLocation, type Location, type Reference } from "../../oci/reference.ts";
import { jsonText } from "../../printable/printable.ts";
import { LayoutTarget } from "../../target/layout/layout.ts";
import { isLayoutFolder } from "../../target/layout/layout-index.ts";
import { RegistryTarget } from "../../target/registry/registry.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import type { Context } from "../machine/context.ts";
import { VERSION } from "../machine/stave-version.ts";
import type { Output } from "../output/output.ts";
import type { TransportFlags } from "./shared-flags.ts";

/** Opens targets, and closes all of them and the transport at the end. */
export class Opener {
  readonly transport: Transport;
  readonly authorizer: Authorizer;
  readonly #context: Context;
  readonly #output: Output;
  readonly #open: { close(): Promise<void> }[] = [];

  constructor(context: Context, output: Output, flags: TransportFlags, keychain?: Keychain) {
    this.#context = context;
    this.#output = output;
    this.transport = transportOf(context, flags, (milliseconds, reason) =>
      output.progress({ type: "wait", milliseconds, reason }),
    );
    this.authorizer = createAuthorizer({
      transport: this.transport,
      clock: context.clock,
      keychain:
        keychain ??
        new Keychain({ ...keychainOptions(context, flags), onWarning: (error) => output.warn(error.message) }),
    });
  }

  /** Opens a place to read from. */
  async read(location: Location): Promise<ReadTarget> {
    return await this.#target(location, false);
  }

  /** Opens a place to write to; a directory is made when it is not there. */
  async write(location: Location): Promise<Target> {
    return await this.#target(location, true);
  }

  /** Opens a place to change; a directory must be there. */
  async change(location: Location): Promise<Target> {
    return await this.#target(location, false);
  }

  async #target(location: Location, create: boolean): Promise<Target> {
    const { clock, cwd } = this.#context;
    if (location.kind === "layout") {
      const target = await LayoutTarget.open(resolve(cwd, location.directory), {
        clock,
        create,
        name: formatLocation({ ...location, tag: undefined, digest: undefined }),
      });
      this.#open.push(target);
      return target;
    }
    const { scheme, reference } = location;
    if (scheme === undefined) this.#hintAtDirectory(reference);
    return new RegistryTarget({
      transport: this.transport,
      authorizer: this.authorizer,
      clock,
      registry: reference.registry,
      repository: reference.repository,
      scheme,
    });
  }

  // A name without a host is one of Docker Hub, though a directory may be what was meant.
  #hintAtDirectory({ registry, repository }: Reference): void {
    const directory = repository.replace(/^library\//, "");
    if (registry === DEFAULT_REGISTRY && isLayoutFolder(resolve(this.#context.cwd, directory)))
      this.#output.warn(`${directory} is looked for on Docker Hub; for the directory write oci-layout:${directory}`);
  }

  async close(): Promise<void> {
    for (const target of this.#open) await target.close();
    await this.transport.close();
  }
}

/** Everything the keychain looks at. */
export function keychainOptions(context: Context, flags: TransportFlags): KeychainOptions {
  const { env, home, uid, cwd } = context;
  return { env, home, uid, authfile: flags.authfile === undefined ? undefined : resolve(cwd, flags.authfile) };
}

function transportOf(
  context: Context,
  flags: TransportFlags,
  onWait: (milliseconds: number, reason: string) => void,
): Transport {
  const { env, clock, cwd, home } = context;
  const of = (name: string) => env[name] || env[name.toUpperCase()] || undefined;
  const all = of("all_proxy");
  if ((flags.cert === undefined) !== (flags.keyFile === undefined))
    throw new StaveError("USAGE", "--cert and --key-file go together", { hint: "name both files" });
  const client =
    flags.cert !== undefined && flags.keyFile !== undefined
      ? { certificate: resolve(cwd, flags.cert), key: resolve(cwd, flags.keyFile) }
      : undefined;
  const authorities = [
    ...(flags.cacert ?? []).map((file) => resolve(cwd, file)),
    ...(env["SSL_CERT_FILE"] ? [resolve(cwd, env["SSL_CERT_FILE"])] : []),
  ];
  const settings = env["XDG_CONFIG_HOME"] || join(home, ".config");
  return createTransport({
    clock,
    plainHttp: flags.plainHttp,
    insecureTls: flags.insecureTls,
    certificates: {
      authorities,
      authorityFolders: [
        ...(flags.capath ?? []),
        ...(env["SSL_CERT_DIR"] ?? "").split(":").filter((folder) => folder !== ""),
      ],
      client,
      hostFolders: [
        join(settings, "containers/certs.d"),
        join(settings, "docker/certs.d"),
        join(home, ".docker/certs.d"),
        "/etc/containers/certs.d",
        "/etc/docker/certs.d",
      ],
    },
    // An upper-case HTTP_PROXY can be set by a request's header in a CGI program, which stave never is.
    proxy: { http: of("http_proxy") ?? all, https: of("https_proxy") ?? all, noProxy: of("no_proxy") },
    timeout: flags.timeout === undefined ? undefined : flags.timeout * 1000,
    connectTimeout: flags.connectTimeout === undefined ? undefined : flags.connectTimeout * 1000,
    minRate: flags.minRate,
    retry: flags.retries === undefined ? undefined : { attempts: flags.retries + 1 },
    userAgent: `stave/${VERSION}`,
    trace: flags.trace === undefined ? undefined : traceTo(resolve(cwd, flags.trace)),
    onWait,
  });
}

/** Appends one JSON line per event; the file is readable by its owner only. */
function traceTo(path: string): (event: TraceEvent) => void {
  let file: number;
  try {
    file = openSync(path, "a", 0o600);
  } catch (cause) {
    throw fileError(cause, "write", path);
  }
  return (event) => void writeSync(file, `${jsonText(event)}\n`);
}

/**
 * The tag or digest that a location means: its digest, else its tag, else `latest` in a registry, and in a directory
 * the only image there is. Throws USAGE when a directory has several.
 */
export async function referenceOf(location: Location, target: ReadTarget, signal: AbortSignal): Promise<string> {
  if (location.kind === "registry") return location.reference.digest ?? location.reference.tag ?? DEFAULT_TAG;
  const named = location.digest ?? location.tag;
  if (named !== undefined) return named;
  const tags = await Array.fromAsync(target.tags({ signal }));
  const [only] = tags;
  if (only !== undefined && (tags.length === 1 || tags.includes(DEFAULT_TAG)))
    return tags.length === 1 ? only : DEFAULT_TAG;
  const where = formatLocation(location);
  if (only === undefined)
    throw new StaveError("NOT_FOUND", `${where} has no tagged image`, {
      subject: where,
      hint: `name one by its digest: ${where}@sha256:…`,
    });
  throw new StaveError("USAGE", `${where} has ${tags.length} tags: say which`, {
    subject: where,
    hint: `for example ${where}:${tags.sort()[0]}`,
  });
}
