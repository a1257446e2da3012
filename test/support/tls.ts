// A certificate authority for tests, made with openssl.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The files of a certificate and its key. */
export interface Pair {
  certificate: string;
  key: string;
  /** PEM texts for servers. */
  pem: { cert: string; key: string };
}

export interface TestAuthority {
  folder: string;
  /** The path of its own certificate. */
  certificate: string;
  pem: string;
  /**
   * A certificate for 127.0.0.1, localhost and the given names, or only for those; valid for this many days, default 2.
   */
  issue(name: string, names?: string[], more?: { isOnlyFor?: boolean; days?: number }): Pair;
  remove(): void;
}

/** Creates an authority that nothing trusts. */
export function makeAuthority(): TestAuthority {
  const folder = mkdtempSync(join(tmpdir(), "stave-ca-"));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.crt"),
    "-days",
    "2",
    "-subj",
    "/CN=Test CA",
  );
  return {
    folder,
    certificate: at("ca.crt"),
    pem: readFileSync(at("ca.crt"), "utf8"),
    issue(name, names = [], { isOnlyFor = false, days = 2 } = {}) {
      const [request, certificate, key, extensions] = ["csr", "crt", "key", "ext"].map((kind) => at(`${name}.${kind}`));
      openssl("req", "-new", ...newKey, "-keyout", key ?? "", "-out", request ?? "", "-subj", `/CN=${name}`);
      const all = [...(isOnlyFor ? [] : ["IP:127.0.0.1", "DNS:localhost"]), ...names.map((each) => `DNS:${each}`)];
      writeFileSync(extensions ?? "", `subjectAltName=${all.join(",")}\n`);
      const by = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", String(days)];
      openssl("x509", "-req", "-in", request ?? "", ...by, "-extfile", extensions ?? "", "-out", certificate ?? "");
      const pem = { cert: readFileSync(certificate ?? "", "utf8"), key: readFileSync(key ?? "", "utf8") };
      return { certificate: certificate ?? "", key: key ?? "", pem };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
