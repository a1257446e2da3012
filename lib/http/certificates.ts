// Certificates for a host: those that Node and the system trust, those the user named, and those of docker and podman
// in `certs.d/HOST`. All are combined. They are read at the first request over TLS.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { fileError, StaveError, systemCode } from "../errors.ts";

/** The certificate files that the user named. */
export interface CertificateOptions {
  /** Additional authorities: existing PEM files (`--cacert`, `SSL_CERT_FILE`). */
  authorities?: readonly string[] | undefined;
  /** Folders of PEM files; other files in them, and missing folders, are ignored (`SSL_CERT_DIR`). */
  authorityFolders?: readonly string[] | undefined;
  /** A client certificate and its key: PEM files. */
  client?: { certificate: string; key: string } | undefined;
  /** Folders with a subfolder per host (`/etc/containers/certs.d`, `/etc/docker/certs.d`). */
  hostFolders?: readonly string[] | undefined;
  /** The system's bundles; the first existing one is used. Default: those of all distributions. */
  systemBundles?: readonly string[] | undefined;
}

/** The TLS material of one host, as PEM texts. */
export interface HostCertificates {
  ca: string[];
  cert?: string;
  key?: string;
}

const PEM_LIMIT = 8 * 1024 * 1024;
/** Maximum number of files read from one folder. */
const FOLDER_LIMIT = 2000;

/** Where distributions store the bundle of trusted authorities; the first existing one is used. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** Reads certificates; those common to every host are read once. */
export class Certificates {
  readonly #options: CertificateOptions;
  #common: Promise<string[]> | undefined;

  constructor(options: CertificateOptions) {
    this.#options = options;
  }

  /**
   * Collects the certificates for `host` (with its port). Throws CONFIG_INVALID for a file that is not PEM and for a
   * key that does not match its certificate, or a named file that cannot be read.
   */
  async of(host: string): Promise<HostCertificates> {
    this.#common ??= commonAuthorities(this.#options);
    const ca = new Set(await this.#common);
    let client = this.#options.client;
    for (const place of this.#options.hostFolders?.flatMap((folder) => hostPlaces(folder, host)) ?? []) {
      // Docker's rules: *.crt are authorities; NAME.cert is a client certificate with its key in NAME.key.
      for (const name of await list(place)) {
        const path = join(place, name);
        if (name.endsWith(".crt")) for (const pem of await readAuthorities(path)) ca.add(pem);
        if (name.endsWith(".cert")) client ??= { certificate: path, key: path.replace(/cert$/, "key") };
      }
    }
    return { ca: [...ca], ...(client === undefined ? {} : await readClient(client)) };
  }
}

async function commonAuthorities(options: CertificateOptions): Promise<string[]> {
  // Passing authorities replaces Node's own, so those are included (with NODE_EXTRA_CA_CERTS, which Node reads).
  const all = new Set(
    [...getCACertificates("default"), ...(await systemAuthorities(options))].map((pem) => pem.trim()),
  );
  for (const file of options.authorities ?? []) for (const pem of await readAuthorities(file)) all.add(pem);
  for (const folder of options.authorityFolders ?? [])
    for (const name of (await list(folder)).slice(0, FOLDER_LIMIT))
      for (const pem of await readIfPem(join(folder, name))) if (isCertificate(pem)) all.add(pem);
  return [...all];
}

async function systemAuthorities({ systemBundles = SYSTEM_BUNDLES }: CertificateOptions): Promise<string[]> {
  // Reading one file is ten times faster than Node's collecting the same certificates from a folder of links.
  for (const bundle of systemBundles) {
    const found = await readIfPem(bundle);
    if (found.length > 0) return found;
  }
  return getCACertificates("system");
}

function hostPlaces(folder: string, host: string): string[] {
  const name = host.replace(/[^A-Za-z0-9.:[\]-]/g, "_");
  const hasPort = /:[0-9]+$/.test(name);
  return (hasPort ? [name] : [name, `${name}:443`]).map((each) => join(folder, each));
}

function certificatesIn(text: string): string[] {
  return text.match(/-----BEGIN (?:X509 )?CERTIFICATE-----[^-]*-----END (?:X509 )?CERTIFICATE-----/g) ?? [];
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}

/** The certificates of a named file. Throws CONFIG_INVALID unless it has some, and all are valid. */
async function readAuthorities(path: string): Promise<string[]> {
  const found = certificatesIn(await readPem(path, "CERTIFICATE"));
  if (found.length > 0 && found.every(isCertificate)) return found;
  throw new StaveError("CONFIG_INVALID", `${path} has an invalid certificate`, { subject: path });
}

async function readIfPem(path: string): Promise<string[]> {
  try {
    const bytes = await readFile(path);
    return bytes.byteLength > PEM_LIMIT ? [] : certificatesIn(bytes.toString("utf8"));
  } catch {
    // Unreadable certificates are not trusted; the handshake then reports the problem.
    return [];
  }
}

async function readClient({ certificate, key }: { certificate: string; key: string }) {
  const cert = await readPem(certificate, "CERTIFICATE");
  const keyText = await readPem(key, "PRIVATE KEY");
  let fits: boolean;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(keyText));
  } catch (cause) {
    const why = systemCode(cause) === "ERR_MISSING_PASSPHRASE" ? "is encrypted" : "or its certificate is invalid";
    throw new StaveError("CONFIG_INVALID", `the client key ${key} ${why}`, {
      subject: key,
      cause,
      hint: `openssl pkey -in ${key} -out FILE writes it without passphrase`,
    });
  }
  if (fits) return { cert, key: keyText };
  throw new StaveError("CONFIG_INVALID", `the client key ${key} does not belong to the certificate ${certificate}`, {
    subject: key,
    hint: "name the key that the certificate was made for with `clientCertificate.key`",
  });
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
    // NOT_FOUND would be taken for the answer of a registry.
    throw fileError(cause, "read", path).with({ code: "CONFIG_INVALID" });
  }
  if (text.length <= PEM_LIMIT && new RegExp(`-----BEGIN [A-Z0-9 ]*${kind}-----`).test(text)) return text;
  throw new StaveError("CONFIG_INVALID", `${path} is not a PEM file with a ${kind.toLowerCase()}`, { subject: path });
}
