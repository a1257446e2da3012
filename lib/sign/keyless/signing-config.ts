// The services of a Sigstore deployment, from its signing configuration: an authority for certificates, logs, and
// authorities for time stamps. They get identity tokens and signatures, so only https is accepted, except on this
// machine.
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { isLoopback } from "../../http/addresses.ts";
import { printable } from "../../printable/printable.ts";
import { parseJsonBytes } from "../../spack/text/json.ts";

/** Maximum number of bytes of a signing configuration; the public one has 1.5 kB. */
export const CONFIG_LIMIT: number = 256 * 1024;
/** Maximum number of services of a kind. */
const SERVICE_LIMIT = 64;

const service = z.object({
  url: z.url({ protocol: /^https?$/ }).max(2048),
  majorApiVersion: z.int().min(1),
  validFor: z.object({ start: z.iso.datetime().optional(), end: z.iso.datetime().optional() }).optional(),
  operator: z.string().max(256).optional(),
});
const services = z.array(service).max(SERVICE_LIMIT).optional();
const choice = z
  .object({ selector: z.enum(["ANY", "ALL", "EXACT"]), count: z.int().min(1).max(SERVICE_LIMIT).optional() })
  .optional();

const configSchema = z.object({
  mediaType: z.literal("application/vnd.dev.sigstore.signingconfig.v0.2+json"),
  caUrls: services,
  oidcUrls: services,
  rekorTlogUrls: services,
  tsaUrls: services,
  rekorTlogConfig: choice,
  tsaConfig: choice,
});

type Service = z.infer<typeof service>;
type Choice = z.infer<typeof choice>;

/** A log to write to. */
export interface LogService {
  readonly url: string;
  readonly version: 1 | 2;
}

/** The services that a signature needs. */
export interface SigningServices {
  /** The authority for certificates. */
  readonly authority: string;
  /** The identity provider for people. */
  readonly identityProvider: string | undefined;
  readonly logs: readonly LogService[];
  /** The authorities for time stamps. */
  readonly stamps: readonly string[];
}

/** Chooses the services of a configuration that are valid now. Throws CONFIG_INVALID. */
export function chooseServices(bytes: Uint8Array, name: string, now: number): SigningServices {
  const invalid = (what: string): StaveError =>
    new StaveError("CONFIG_INVALID", `${name} ${what}`, {
      subject: name,
      hint: "name a signing_config.json of version 0.2, as `cosign signing-config create` writes it",
    });
  const result = configSchema.safeParse(parseJsonBytes(bytes, { name, code: "CONFIG_INVALID" }));
  if (!result.success) {
    const [issue] = result.error.issues;
    const place = issue?.path.map(String).join(".") || "the top level";
    throw invalid(`is invalid at ${printable(place)}: ${printable(issue?.message ?? "wrong shape")}`);
  }
  const { caUrls, oidcUrls, rekorTlogUrls, tsaUrls, rekorTlogConfig, tsaConfig } = result.data;
  const usable = (list: readonly Service[] = [], versions: readonly number[] = [1]): Service[] =>
    list
      .filter(({ majorApiVersion, validFor }) => versions.includes(majorApiVersion) && isValid(validFor, now))
      .toSorted((a, b) => b.majorApiVersion - a.majorApiVersion || startOf(b) - startOf(a));
  const [authority] = usable(caUrls);
  if (authority === undefined) throw invalid("has no authority for certificates that is valid now");
  const logs = chosen(usable(rekorTlogUrls, [1, 2]), rekorTlogConfig);
  if (logs === undefined) throw invalid("asks for more logs than are valid now");
  if (logs.length === 0) throw invalid("has no log, which signatures without a key need");
  const stamps = chosen(usable(tsaUrls), tsaConfig);
  if (stamps === undefined) throw invalid("asks for more authorities for time stamps than are valid now");
  if (stamps.length === 0 && logs.every(({ majorApiVersion }) => majorApiVersion === 2))
    throw invalid("has logs of version 2 only, which give no time, and no authority for time stamps");
  const [provider] = usable(oidcUrls);
  for (const { url } of [authority, ...logs, ...stamps, ...(provider ? [provider] : [])])
    if (!mayGetTokens(url)) throw invalid(`has a service without https: ${printable(url)}`);
  return {
    authority: bare(authority.url),
    identityProvider: provider && bare(provider.url),
    logs: logs.map(({ url, majorApiVersion }) => ({ url: bare(url), version: majorApiVersion === 2 ? 2 : 1 })),
    stamps: stamps.map(({ url }) => bare(url)),
  };
}

/** True if tokens may be sent to a URL: over TLS, or inside this machine. */
export function mayGetTokens(url: string): boolean {
  const parsed = URL.parse(url);
  return parsed !== null && (parsed.protocol === "https:" || isLoopback(parsed.hostname));
}

function chosen(usable: readonly Service[], config: Choice): readonly Service[] | undefined {
  if (config === undefined) return [];
  if (config.selector === "ALL") return usable;
  const count = config.selector === "EXACT" ? (config.count ?? 1) : 1;
  // Independent operators first: several services of one operator prove no more than one.
  const operator = (one: Service): string => one.operator ?? one.url;
  const different = usable.filter((one, at) => usable.findIndex((other) => operator(other) === operator(one)) === at);
  return different.length >= count ? different.slice(0, count) : undefined;
}

const bare = (url: string): string => url.replace(/\/+$/, "");

const startOf = ({ validFor }: Service): number => (validFor?.start === undefined ? 0 : Date.parse(validFor.start));

function isValid(validFor: Service["validFor"], now: number): boolean {
  const { start, end } = validFor ?? {};
  return (start === undefined || Date.parse(start) <= now) && (end === undefined || now <= Date.parse(end));
}
