// Spack's mirrors: named locations of sources and binaries, with their fetch and push URLs and credentials (Spack
// `mirrors/mirror.py`). Nothing here accesses them.
import { inspect } from "node:util";
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { redactUrls, Secret } from "../../printable/secret.ts";
import { checked } from "../text/schema-check.ts";
import { configError, nodeAt, type Place, type YamlNode } from "../text/yaml.ts";
import type { Configuration } from "./config.ts";
import type { Variables } from "./machine.ts";
import { entriesOf } from "./settings.ts";
import { schemeOf } from "./substitute.ts";

/** The two uses of a mirror, which may have different URLs and credentials. */
export type Direction = "fetch" | "push";

/** The credentials of a mirror; only those that are configured and set. */
export interface Credentials {
  readonly pair: { readonly id: string; readonly secret: Secret } | undefined;
  readonly token: Secret | undefined;
  /** The S3 credential profile. */
  readonly profile: string | undefined;
  /** The S3 endpoint, if not Amazon's. */
  readonly endpointUrl: string | undefined;
  /** Unset environment variables that the configuration names: the credentials are incomplete without them. */
  readonly missing: readonly string[];
}

const text = z.string().min(1);
const connection = {
  url: text.optional(),
  view: text.nullish(),
  access_pair: z
    .union([
      z.strictObject({ id: z.string(), secret_variable: text }),
      z.strictObject({ id_variable: text, secret_variable: text }),
      z.tuple([z.string().nullable(), z.string().nullable()]),
    ])
    .nullish(),
  access_token: z.string().nullish(),
  access_token_variable: text.nullish(),
  profile: z.string().nullish(),
  endpoint_url: z.string().nullish(),
};
const Side = z.union([text, z.strictObject(connection)]);
const Entry = z.strictObject({
  ...connection,
  binary: z.boolean().optional(),
  source: z.boolean().optional(),
  signed: z.boolean().optional(),
  autopush: z.boolean().optional(),
  fetch: Side.optional(),
  push: Side.optional(),
});
type Connection = { readonly [K in keyof typeof connection]?: z.infer<(typeof connection)[K]> };

/** The URL schemes of Spack's mirrors; anything else is a path. */
const SCHEMES = new Set(["file", "http", "https", "sftp", "ftp", "s3", "gs", "oci", "oci+http"]);

/** One mirror. Printing or serializing it never shows a secret. */
export class Mirror {
  readonly name: string;
  readonly place: Place;
  /** True if it may hold binaries; `hasSources` likewise for sources. */
  readonly hasBinaries: boolean;
  readonly hasSources: boolean;
  /** True if it has a push URL of its own. */
  readonly hasPush: boolean;
  /** True if binaries are pushed as soon as they are built. */
  readonly isAutopush: boolean;
  readonly #signed: boolean;
  readonly #top: Connection;
  readonly #sides: Readonly<Record<Direction, Connection>>;
  readonly #urls: Readonly<Record<Direction, string>>;

  /** Reads the entry `mirrors:<name>`. Throws CONFIG_INVALID with file, line and key. */
  constructor(name: string, node: YamlNode, config: Configuration) {
    const data = checked(z.union([text, Entry]), node, `mirrors:${name}`);
    const entry: z.infer<typeof Entry> = typeof data === "string" ? { url: data } : data;
    this.name = name;
    this.place = node.place;
    this.hasBinaries = entry.binary ?? true;
    this.hasSources = entry.source ?? true;
    this.hasPush = entry.push !== undefined;
    this.isAutopush = entry.autopush ?? false;
    this.#signed = entry.signed ?? true;
    this.#top = entry;
    const side = (value: z.infer<typeof Side> | undefined): Connection =>
      typeof value === "string" ? { url: value } : (value ?? {});
    this.#sides = { fetch: side(entry.fetch), push: side(entry.push) };
    const url = (direction: Direction): string => {
      const written = this.#sides[direction].url ?? entry.url;
      if (written === undefined)
        throw configError(node.place, `mirrors:${name} has no URL to ${direction}, expected \`url:\``);
      return mirrorUrl(
        written,
        (nodeAt(node, direction, "url") ?? nodeAt(node, direction) ?? nodeAt(node, "url") ?? node).place,
        config,
      );
    };
    this.#urls = { fetch: url("fetch"), push: url("push") };
  }

  /** The URL to fetch from or push to. A path becomes a `file://` URL. */
  url(direction: Direction): string {
    return this.#urls[direction];
  }

  /** True if signatures are required; always false for an OCI registry, where Spack has none. */
  get isSigned(): boolean {
    return this.#signed && !isOciUrl(this.#urls.fetch);
  }

  /** The index view; undefined for the whole mirror. */
  view(direction: Direction): string | undefined {
    return this.#value(direction, "view") ?? undefined;
  }

  /** The credentials, with values of environment variables. A pair with an unset or empty part is dropped. */
  credentials(direction: Direction, env: Variables): Credentials {
    const missing: string[] = [];
    const variable = (name: string): string | undefined => {
      const value = Object.hasOwn(env, name) ? env[name] : undefined;
      if (value === undefined) missing.push(name);
      return value || undefined;
    };
    const named = this.#value(direction, "access_token_variable");
    const token = named ? variable(named) : this.#value(direction, "access_token") || undefined;
    const pair = this.#value(direction, "access_pair");
    let [id, secret]: (string | undefined)[] = [];
    if (Array.isArray(pair)) [id, secret] = pair.map((part) => part || undefined);
    else if (pair)
      [id, secret] = [
        ("id" in pair ? pair.id : variable(pair.id_variable)) || undefined,
        variable(pair.secret_variable),
      ];
    return {
      pair: id === undefined || secret === undefined ? undefined : { id, secret: new Secret(secret) },
      token: token === undefined ? undefined : new Secret(token),
      profile: this.#value(direction, "profile") || undefined,
      endpointUrl: this.#value(direction, "endpoint_url") || undefined,
      missing,
    };
  }

  /** The credentials for pushing. As in Spack, a named but unset variable is an error. Throws CREDENTIALS_MISSING. */
  pushCredentials(env: Variables): Credentials {
    const credentials = this.credentials("push", env);
    const names = credentials.missing.join(" and ");
    if (names === "") return credentials;
    throw new StaveError(
      "CREDENTIALS_MISSING",
      `invalid push configuration for mirror ${printable(this.name)}: ${names} not set in the environment`,
      { subject: this.name, hint: `set ${names}` },
    );
  }

  /** The environment variables named by the credentials of either direction. */
  get variables(): string[] {
    const names = (["fetch", "push"] as const).flatMap((direction) => {
      const pair = this.#value(direction, "access_pair");
      const parts =
        pair && !Array.isArray(pair)
          ? ["id_variable" in pair ? pair.id_variable : undefined, pair.secret_variable]
          : [];
      return [...parts, this.#value(direction, "access_token_variable")];
    });
    return [...new Set(names.filter((name) => typeof name === "string"))];
  }

  /** The displayable properties: names of variables but no secrets. */
  toJSON(): Record<string, unknown> {
    const shown = (direction: Direction): Record<string, unknown> => {
      const pair = this.#value(direction, "access_pair");
      const token =
        this.#value(direction, "access_token_variable") ?? (this.#value(direction, "access_token") ? "***" : undefined);
      const all = {
        url: redactUrls(this.#urls[direction]),
        view: this.view(direction),
        access_pair: Array.isArray(pair) ? "***" : (pair ?? undefined),
        access_token: token,
        profile: this.#value(direction, "profile") ?? undefined,
        endpoint_url: this.#value(direction, "endpoint_url") ?? undefined,
      };
      return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    };
    const { name, hasBinaries: binary, hasSources: source, isSigned: signed, isAutopush: autopush } = this;
    return { name, binary, source, signed, autopush, fetch: shown("fetch"), push: shown("push") };
  }

  [inspect.custom](): unknown {
    return this.toJSON();
  }

  // The value for that direction if set, even if empty; otherwise the common one.
  #value<K extends keyof Connection>(direction: Direction, key: K): Connection[K] {
    const side = this.#sides[direction];
    return side[key] === undefined ? this.#top[key] : side[key];
  }
}

/** The mirrors in the order in which Spack asks them: highest scope first. Throws CONFIG_INVALID. */
export function mirrors(config: Configuration): Mirror[] {
  const node = config.get("mirrors");
  return node ? entriesOf(node, "mirrors").map(([name, value]) => new Mirror(name, value, config)) : [];
}

/** True for URLs of OCI registries. */
export function isOciUrl(url: string): boolean {
  return url.startsWith("oci://") || url.startsWith("oci+http://");
}

/** The URL of a mirror given in configuration or on the command line: URLs stay, paths become `file://` URLs. */
export function mirrorUrl(written: string, place: Place | undefined, config: Configuration): string {
  const scheme = schemeOf(written);
  if (scheme !== undefined && SCHEMES.has(scheme)) return written;
  const path = config.path(written, place);
  return schemeOf(path) === undefined ? fileUrl(path) : path;
}

// Like Python's `Path.as_uri`, which escapes more than Node does.
function fileUrl(path: string): string {
  const escaped = path.toWellFormed().split("/").map(encodeURIComponent).join("/");
  return `file://${escaped.replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)}`;
}
