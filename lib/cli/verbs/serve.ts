// `stave serve`: serves a directory as a registry.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fileError, messageOf, StaveError } from "../../errors.ts";
import { isLoopback } from "../../http/addresses.ts";
import { formatLocation, isPath, namesPlace, parseLocation } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { createRegistry, type RegistryOptions } from "../../serve/registry-server.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { helpText, verbCommand, wholeNumber } from "../arguments/shared-flags.ts";
import type { Context } from "../machine/context.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions {
  listen: string;
  readOnly?: boolean;
  tlsCert?: string;
  tlsKey?: string;
  htpasswd?: string;
  chunkMinLength?: number;
  sparse?: boolean;
  allowHost?: string[];
  web?: boolean;
}

const HELP = `
If the directory is an image layout, it is served as one repository, named after the folder. Otherwise each repository is a layout
below the directory, created by its first push. docker, podman, skopeo, oras and Spack can pull and push; without --tls-cert,
podman and skopeo need --tls-verify=false. Ctrl-C waits up to 10 seconds for running transfers, then stops.

On a loopback address without TLS, it answers to local names only, so that no web site can reach it through a browser; behind a proxy,
allow its name with --allow-host.

--web adds pages to search and browse the build caches among the repositories, at /web/, for those who may pull.

Examples:
  stave serve ./stave-cache            then: podman pull --tls-verify=false localhost:5000/stave-cache:TAG
  stave serve /srv/images --listen 0.0.0.0:5000 --tls-cert c.pem --tls-key k.pem --htpasswd users
  stave serve ./images --read-only`;

/** The command `stave serve`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("serve", "serve a directory as a registry")
    .argument("<dir>", "an image layout directory, or a folder of them")
    .option("--listen <host:port>", "the address to listen on; port 0 picks a free port", "127.0.0.1:5000")
    .option("--read-only", "refuse all changes")
    .option("--tls-cert <file>", "serve https with this certificate (PEM)")
    .option("--tls-key <file>", "the key of the certificate (PEM)")
    .option("--htpasswd <file>", "admit only the users in this file (lines made by: htpasswd -nB USER)")
    .option(
      "--chunk-min-length <bytes>",
      "ask clients for chunks of at least this size",
      wholeNumber(0, 128 * 1024 * 1024),
    )
    .option("--sparse", "accept manifests whose layers or images are missing")
    .option(
      "--allow-host <name>",
      "answer to this name, too, when listening on this machine only, for example behind a proxy (may be repeated)",
      hostNames,
    )
    .option("--web", "also serve pages to browse the build caches, at /web/")
    .addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const directory = servedDirectory(text);
    const { host, port } = parseListen(flags.listen);
    const path = (file: string) => resolve(context.cwd, file);
    if ((flags.tlsCert === undefined) !== (flags.tlsKey === undefined))
      throw new StaveError("USAGE", "--tls-cert and --tls-key go together", { hint: "name both files" });
    const tls =
      flags.tlsCert !== undefined && flags.tlsKey !== undefined
        ? { cert: await read(path(flags.tlsCert)), key: await read(path(flags.tlsKey)) }
        : undefined;
    const kind = kindAt(path(directory));
    if (kind === "file" || kind === "other")
      throw new StaveError("USAGE", `${printable(directory)} is not a directory`, {
        subject: directory,
        hint: "name an image layout directory, or a folder of them: stave serve ./stave-cache",
      });
    if (kind !== "folder")
      throw new StaveError("NOT_FOUND", `there is no directory ${printable(directory)} to serve`, {
        subject: directory,
        hint: `make it first, for instance with \`mkdir -p ${printable(directory)}\``,
      });
    const registry = await createRegistry({
      directory: path(directory),
      clock: context.clock,
      readOnly: flags.readOnly,
      tls,
      htpasswd:
        flags.htpasswd === undefined ? undefined : { text: await read(path(flags.htpasswd)), path: flags.htpasswd },
      minChunk: flags.chunkMinLength,
      sparse: flags.sparse,
      hosts: flags.allowHost,
      pages: flags.web ? await webPages(context) : undefined,
      onRequest: (method, url, status) => output.detail(`${status} ${method} ${url.split("?")[0]}`),
      onError: (error) => output.warn(messageOf(error)),
    });
    const { url } = await registry.listen({ host, port });
    const isLocal = isLoopback(host);
    if (!isLocal && !flags.readOnly && flags.htpasswd === undefined)
      output.warn(`anybody who can reach ${host} may push here; consider --htpasswd or --read-only`);
    if (!isLocal && flags.htpasswd !== undefined && !tls)
      output.warn("passwords will cross the network in the clear; consider --tls-cert and --tls-key");
    const name = registry.repository === undefined ? "" : `/${registry.repository}`;
    output.print(`serving ${directory} as ${address(url)}${name}${tls ? "" : " (plain http)"}`);
    const web = flags.web ? `${url}/web/` : null;
    if (web !== null) output.print(`pages at ${web}`);
    output.report({ url, repository: registry.repository ?? null, directory: path(directory), web });
    await new Promise<void>((done) => {
      if (context.signal.aborted) done();
      context.signal.addEventListener("abort", () => done(), { once: true });
    });
    output.note("stopping");
    await registry.close();
    return 0;
  });
};

/** Loaded only by servers with pages. */
async function webPages(context: Context): Promise<RegistryOptions["pages"]> {
  const [{ ServedCatalogue }, { diskCache }] = await Promise.all([
    import("../../catalogue/served-catalogue.ts"),
    import("../../api/machine/cache-folder.ts"),
  ]);
  return (repositories) => new ServedCatalogue(repositories, { memory: diskCache(context) });
}

/** The directory, given as a path or in the form that other verbs use for a layout. */
function servedDirectory(text: string): string {
  if (isPath(text) || !namesPlace(text)) return text;
  const location = parseLocation(text);
  if (location.kind === "layout" && location.tag === undefined && location.digest === undefined)
    return location.directory;
  throw new StaveError("USAGE", `${formatLocation(location)} is not a directory, which is what can be served`, {
    subject: text,
    hint: "name an image layout directory, or a folder of them",
  });
}

/**
 * The address in the form that other verbs take: an address that means every interface becomes localhost, and other
 * hosts need a scheme.
 */
function address(url: string): string {
  const { protocol, hostname, host, port } = new URL(url);
  if (/^(?:0\.0\.0\.0|\[::\])$/.test(hostname)) return `localhost:${port || (protocol === "https:" ? "443" : "80")}`;
  return protocol === "https:" || isLoopback(hostname) ? host : `oci+http://${host}`;
}

function hostNames(text: string, earlier: readonly string[] = []): string[] {
  if (!/^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})$/.test(text))
    throw new StaveError("USAGE", `invalid host name ${JSON.stringify(text.slice(0, 100))}`, {
      hint: "for example --allow-host registry.example.com",
    });
  return [...earlier, text];
}

function parseListen(text: string): { host: string; port: number } {
  const found = /^(?:(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):)?([0-9]{1,5})$/.exec(text);
  const port = Number(found?.[2] ?? "65536");
  if (port > 65_535)
    throw new StaveError("USAGE", `invalid address ${JSON.stringify(text.slice(0, 100))}: expected HOST:PORT`, {
      hint: "for example --listen 127.0.0.1:5000",
    });
  return { host: (found?.[1] ?? "127.0.0.1").replace(/^\[|\]$/g, ""), port };
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
}
