// Opens the targets of locations over one transport, with one keychain.

import { join, resolve } from "node:path";
import { type HostCredential, Keychain, type KeychainOptions } from "../../auth/keychain.ts";
import { createAuthorizer } from "../../auth/token.ts";
import { StaveError } from "../../errors.ts";
import type { ProxySettings } from "../../http/addresses.ts";
import { createTransport } from "../../http/transport.ts";
import type { Authorizer, TraceEvent, Transport } from "../../http/types.ts";
import { DEFAULT_TAG, formatLocation, type Location } from "../../oci/reference.ts";
import { type LayoutOptions, LayoutTarget } from "../../target/layout/layout.ts";
import { RegistryTarget } from "../../target/registry/registry.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import { closeAll } from "../../util/close-all.ts";
import { VERSION } from "../machine/stave-version.ts";
import type { Surroundings } from "../machine/surroundings.ts";

/** How to use the network. As on the command line, the environment provides the defaults. Paths may be relative. */
export interface NetworkOptions {
  /** Use http without TLS for any host; loopback hosts do not need this option. */
  readonly plainHttp?: boolean | undefined;
  /** Do not check certificates. */
  readonly insecureTls?: boolean | undefined;
  /** PEM files of additional authorities. */
  readonly caFiles?: readonly string[] | undefined;
  /** Folders of such files. */
  readonly caFolders?: readonly string[] | undefined;
  /** The PEM files of a client certificate and its key. */
  readonly clientCertificate?: { readonly certificate: string; readonly key: string } | undefined;
  /** Proxies. Default: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`. */
  readonly proxy?: ProxySettings | undefined;
  /** How often a request is retried; default 8. */
  readonly retries?: number | undefined;
  /** Milliseconds without a response or a byte before a request is retried; default 60 000. */
  readonly timeout?: number | undefined;
  /** Milliseconds for opening a connection; default: `timeout`, at most 30 000. */
  readonly connectTimeout?: number | undefined;
  /** The least bytes per second; a slower transfer counts as broken. Default 1024. */
  readonly minRate?: number | undefined;
  /** The credential file. Default: those of podman and docker. */
  readonly authfile?: string | undefined;
  /** Called with each request and response, without secrets. */
  readonly trace?: ((event: TraceEvent) => void) | undefined;
}

/** The callbacks of a connection. */
export interface ConnectionHooks {
  readonly onWait?: ((milliseconds: number, reason: string) => void) | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** Opens targets; closing it closes all of them and the transport. */
export class Connection implements AsyncDisposable {
  readonly transport: Transport;
  readonly authorizer: Authorizer;
  readonly #around: Surroundings;
  readonly #open: { close(): Promise<void> }[] = [];

  /** `credentials` take precedence over all others; `keychain` replaces the default keychain. */
  constructor(
    around: Surroundings,
    options: NetworkOptions & ConnectionHooks & { credentials?: readonly HostCredential[]; keychain?: Keychain } = {},
  ) {
    const { credentials: explicit, keychain, onWarning } = options;
    this.#around = around;
    this.transport = transportOf(around, options);
    this.authorizer = createAuthorizer({
      transport: this.transport,
      clock: around.clock,
      keychain:
        keychain ??
        new Keychain({
          ...keychainOptions(around, options),
          explicit,
          onWarning: (error) => onWarning?.(error.message),
        }),
    });
  }

  /** Closes something with the connection. */
  adopt(one: { close(): Promise<void> }): void {
    this.#open.push(one);
  }

  /** Opens a location for reading. */
  async read(location: Location): Promise<ReadTarget> {
    return await this.#target(location);
  }

  /** Opens a location for writing; the first write creates a directory that does not exist. */
  async write(location: Location): Promise<Target> {
    return await this.#target(location, "with the first write");
  }

  /** Opens a location for changes; a directory must exist. */
  async change(location: Location): Promise<Target> {
    return await this.#target(location);
  }

  async #target(location: Location, create?: LayoutOptions["create"]): Promise<Target> {
    const { clock, cwd } = this.#around;
    if (location.kind === "layout") {
      const name = formatLocation({ ...location, tag: undefined, digest: undefined });
      const target = await LayoutTarget.open(resolve(cwd, location.directory), {
        clock,
        name,
        ...(create && { create }),
      });
      this.#open.push(target);
      return target;
    }
    const { scheme, reference } = location;
    const { registry, repository } = reference;
    const { transport, authorizer } = this;
    return new RegistryTarget({ transport, authorizer, clock, registry, repository, scheme });
  }

  async close(): Promise<void> {
    await closeAll([...this.#open.splice(0), this.transport].map((one) => () => one.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The files and variables in which the keychain looks for credentials. */
export function keychainOptions(around: Surroundings, { authfile }: Pick<NetworkOptions, "authfile">): KeychainOptions {
  const { env, home, uid, cwd } = around;
  const paths = ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"].flatMap((name) =>
    env[name] ? [[name, resolve(cwd, env[name])]] : [],
  );
  return {
    env: { ...env, ...Object.fromEntries(paths) },
    home,
    uid,
    authfile: authfile === undefined ? undefined : resolve(cwd, authfile),
  };
}

function transportOf(around: Surroundings, options: NetworkOptions & ConnectionHooks): Transport {
  const { env, clock, cwd, home } = around;
  const { caFiles = [], caFolders = [], clientCertificate, retries } = options;
  const path = (file: string): string => resolve(cwd, file);
  const of = (name: string) => env[name] || env[name.toUpperCase()] || undefined;
  const all = of("all_proxy");
  const settings = path(env["XDG_CONFIG_HOME"] || join(home, ".config"));
  return createTransport({
    clock,
    plainHttp: options.plainHttp,
    insecureTls: options.insecureTls,
    certificates: {
      authorities: [...caFiles, ...(env["SSL_CERT_FILE"] ? [env["SSL_CERT_FILE"]] : [])].map(path),
      authorityFolders: [...caFolders, ...(env["SSL_CERT_DIR"] ?? "").split(":").filter((one) => one !== "")].map(path),
      client: clientCertificate && {
        certificate: path(clientCertificate.certificate),
        key: path(clientCertificate.key),
      },
      hostFolders: [
        join(settings, "containers/certs.d"),
        join(settings, "docker/certs.d"),
        join(home, ".docker/certs.d"),
        "/etc/containers/certs.d",
        "/etc/docker/certs.d",
      ],
    },
    // HTTP_PROXY is safe to read: only in a CGI program could a request header set it.
    proxy: options.proxy ?? { http: of("http_proxy") ?? all, https: of("https_proxy") ?? all, noProxy: of("no_proxy") },
    timeout: options.timeout,
    connectTimeout: options.connectTimeout,
    minRate: options.minRate,
    retry: retries === undefined ? undefined : { attempts: retries + 1 },
    userAgent: `stave/${VERSION}`,
    trace: options.trace,
    onWait: options.onWait,
  });
}

/** The first tag that a user has made, if there is one; the others are of specs, signatures and the like. */
function likelyTag(tags: readonly string[]): string | undefined {
  const sorted = tags.toSorted();
  return sorted.find((tag) => !/\.spack$|^sha256-/.test(tag)) ?? sorted[0];
}

/**
 * The tag or digest that a location refers to: its digest, otherwise its tag, otherwise `latest` in a registry and the
 * only image in a directory. Throws USAGE if a directory has several images and none is `latest`.
 */
export async function referenceOf(
  location: Location,
  target: ReadTarget,
  signal: AbortSignal | undefined,
): Promise<string> {
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
  throw new StaveError("USAGE", `${where} has ${tags.length} tags; choose one`, {
    subject: where,
    hint: `for example ${where}:${likelyTag(tags)}`,
  });
}
