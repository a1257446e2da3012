// Decides which hosts are this machine, and which are reached through a proxy.
import { BlockList, isIP } from "node:net";

/** True if a host name (without port) is this machine. */
export function isLoopback(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (bare === "localhost" || bare.endsWith(".localhost")) return true;
  return bare === "::1" || (isIP(bare) === 4 && bare.startsWith("127."));
}

/** Proxies by the scheme of the request, and the hosts to reach directly (`NO_PROXY`). */
export interface ProxySettings {
  http?: string | undefined;
  https?: string | undefined;
  /** Comma-separated: host, `.suffix`, `*.suffix`, `host:port`, address, CIDR block, or `*`. */
  noProxy?: string | undefined;
}

/** The proxy for a URL, undefined for a direct connection. Loopback is always direct, as in curl and Go. */
export function proxyFor(url: URL, settings: ProxySettings): string | undefined {
  const proxy = url.protocol === "https:" ? settings.https : settings.http;
  if (!proxy || isLoopback(url.hostname)) return undefined;
  return isExempt(url, settings.noProxy ?? "") ? undefined : proxy;
}

function isExempt(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  for (const raw of noProxy.split(/[\s,]+/)) {
    const entry = raw.toLowerCase();
    if (entry === "") continue;
    if (entry === "*" || entry === host || entry === `${host}:${port}`) return true;
    if (entry.includes("/") && isIP(host) && inBlock(host, entry)) return true;
    const suffix = entry.replace(/^\*?\./, "");
    if (!isIP(host) && (host === suffix || host.endsWith(`.${suffix}`))) return true;
  }
  return false;
}

function inBlock(address: string, block: string): boolean {
  const [network = "", bits = ""] = block.split("/");
  const family = isIP(network);
  if (family === 0 || !/^[0-9]{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false;
  const name = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(network, Number(bits), name);
  return isIP(address) === family && list.check(address, name);
}
