// Certificates for a host: those that Node and the system trust, those the user named, and those of docker and podman
// in `certs.d/HOST`. All are combined. They are read at the first request over TLS.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { fileError, StaveError, systemCode } from "../errors.ts";
import { readBounded, readDescriptor } from "../util/read-file.ts";

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
  #common: Promise<Authorities> | undefined;

  constructor(options: CertificateOptions) {
    this.#options = options;
  }

  /**
   * Collects the certificates for `host` (with its port). Throws CONFIG_INVALID for a file that is not PEM and for a
   * key that does not match its certificate, or a named file that cannot be read.
   */
  async of(host: string): Promise<HostCertificates> {
    this.#common ??= commonAuthorities(this.#options);
    const found = (await this.#common).copy();
    let client = this.#options.client;
    for (const place of this.#options.hostFolders?.flatMap((folder) => hostPlaces(folder, host)) ?? []) {
      // Docker's rules: *.crt are authorities; NAME.cert is a client certificate with its key in NAME.key.
      for (const name of await list(place)) {
        const path = join(place, name);
        if (name.endsWith(".crt")) await addFile(found, path);
        if (name.endsWith(".cert")) client ??= { certificate: path, key: path.replace(/cert$/, "key") };
      }
    }
    return { ca: found.all, ...(client === undefined ? {} : await readClient(client)) };
  }
}

/**
 * Authorities, each once, however its text is folded: the system, SSL_CERT_FILE and NODE_EXTRA_CA_CERTS often name the
 * same hundred, and each takes OpenSSL 0.1 ms to parse.
 */
class Authorities {
  readonly #byContent = new Map<string, string>();

  /** The same authorities; what is added to the copy is not added here. */
  copy(): Authorities {
    const copy = new Authorities();
    for (const [content, pem] of this.#byContent) copy.#byContent.set(content, pem);
    return copy;
  }

  /** Adds a PEM text. Returns false if it is invalid; those that are known or `trusted` are not parsed. */
  add(pem: string, trusted = false): boolean {
    const content = pem.replace(/\s/g, "");
    if (this.#byContent.has(content)) return true;
    if (!trusted && !isCertificate(pem)) return false;
    this.#byContent.set(content, pem);
    return true;
  }

  get all(): string[] {
    return [...this.#byContent.values()];
  }
}

async function commonAuthorities(options: CertificateOptions): Promise<Authorities> {
  const found = new Authorities();
  // Passing authorities replaces Node's own, so those are included (with NODE_EXTRA_CA_CERTS, which Node reads).
  for (const pem of getCACertificates("default")) found.add(pem, true);
  for (const pem of systemAuthorities(options)) found.add(pem, true);
  for (const file of options.authorities ?? []) await addFile(found, file);
  for (const folder of options.authorityFolders ?? [])
    for (const name of (await list(folder)).slice(0, FOLDER_LIMIT))
      for (const pem of readIfPem(join(folder, name))) found.add(pem);
  return found;
}

function systemAuthorities({ systemBundles = SYSTEM_BUNDLES }: CertificateOptions): string[] {
  // Reading one file is ten times faster than Node's collecting the same certificates from a folder of links.
  for (const bundle of systemBundles) {
    const found = readIfPem(bundle);
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

/** Adds the certificates of a named file. Throws CONFIG_INVALID unless it has some, and all are valid. */
async function addFile(found: Authorities, path: string): Promise<void> {
  const texts = certificatesIn(await readPem(path, "CERTIFICATE"));
  if (texts.length > 0 && texts.every((pem) => found.add(pem))) return;
  throw new StaveError("CONFIG_INVALID", `${path} has an invalid certificate`, { subject: path });
}

// Without waiting for each file: a folder of certificates has hundreds, which takes 3 ms this way and 30 ms otherwise.
function readIfPem(path: string): string[] {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return certificatesIn(readDescriptor(file, path, PEM_LIMIT).toString("utf8"));
  } catch {
    // Unreadable certificates are not trusted; the handshake then reports the problem.
    return [];
  } finally {
    if (file !== undefined) closeSync(file);
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
    text = (await readBounded(path, PEM_LIMIT)).bytes.toString("utf8");
  } catch (cause) {
    // NOT_FOUND would be taken for the answer of a registry.
    throw fileError(cause, "read", path).with({ code: "CONFIG_INVALID" });
  }
  if (new RegExp(`-----BEGIN [A-Z0-9 ]*${kind}-----`).test(text)) return text;
  throw new StaveError("CONFIG_INVALID", `${path} is not a PEM file with a ${kind.toLowerCase()}`, { subject: path });
}
