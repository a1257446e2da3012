// Certificates for a host: what the user named, and what docker and podman keep in `certs.d/HOST`.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { fileError, StaveError, systemCode } from "../errors.ts";

/** What the user said about certificates; paths. */
export interface CertificateOptions {
  /** More authorities: PEM files (`--cacert`, `SSL_CERT_FILE`). */
  authorities?: readonly string[] | undefined;
  /** A client certificate and its key: PEM files. */
  client?: { certificate: string; key: string } | undefined;
  /** Folders with a sub-folder per host (`/etc/containers/certs.d`, `/etc/docker/certs.d`). */
  hostFolders?: readonly string[] | undefined;
}

/** The TLS material of one host, as PEM texts; undefined where Node's own default is right. */
export interface HostCertificates {
  ca?: string[];
  cert?: string;
  key?: string;
}

const PEM_LIMIT = 8 * 1024 * 1024;

/** Collects what applies to `host` (with its port). Throws CONFIG_INVALID for a file that is no PEM, NOT_FOUND for one that is not there. */
export async function certificatesFor(host: string, options: CertificateOptions): Promise<HostCertificates> {
  const more: string[] = [];
  for (const file of options.authorities ?? []) more.push(await readPem(file, "CERTIFICATE"));
  const found: HostCertificates = {};
  if (options.client) {
    found.cert = await readPem(options.client.certificate, "CERTIFICATE");
    found.key = await readPem(options.client.key, "PRIVATE KEY");
  }
  for (const folder of options.hostFolders ?? []) {
    // docker's rules: *.crt are authorities; NAME.cert is a client certificate with its key in NAME.key.
    const place = join(folder, host.replace(/[^A-Za-z0-9.:[\]-]/g, "_"));
    const names = await list(place);
    for (const name of names) {
      if (name.endsWith(".crt")) more.push(await readPem(join(place, name), "CERTIFICATE"));
      if (!name.endsWith(".cert") || found.cert !== undefined) continue;
      found.cert = await readPem(join(place, name), "CERTIFICATE");
      found.key = await readPem(join(place, `${name.slice(0, -".cert".length)}.key`), "PRIVATE KEY");
    }
  }
  // Naming authorities replaces Node's own, so those are given along.
  if (more.length > 0) found.ca = [...rootCertificates, ...more];
  return found;
}

async function list(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (cause) {
    const code = systemCode(cause);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EACCES") return [];
    throw fileError(cause, "read", folder);
  }
}

async function readPem(path: string, kind: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
  if (text.length <= PEM_LIMIT && new RegExp(`-----BEGIN [A-Z0-9 ]*${kind}-----`).test(text)) return text;
  throw new StaveError("CONFIG_INVALID", `${path} is not a PEM file with a ${kind.toLowerCase()}`, { subject: path });
}
