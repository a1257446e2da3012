// Proves that certificates from all sources are trusted, and that each problem with one is named.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { SecureContextOptions, TlsOptions } from "node:tls";
import { isStaveError, type StaveError } from "../../lib/errors.ts";
import type { CertificateOptions } from "../../lib/http/certificates.ts";
import { createTransport } from "../../lib/http/transport.ts";
import { stave } from "../support/cli.ts";
import { jumpingClock } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { makeAuthority, type Pair, type TestAuthority } from "../support/tls.ts";

const closers: (() => void | Promise<void>)[] = [];
let one: TestAuthority;
let two: TestAuthority;
let registry: TestRegistry;

before(async () => {
  one = makeAuthority();
  two = makeAuthority();
  registry = await startRegistry();
  closers.push(one.remove, two.remove, registry.close);
});

after(async () => {
  for (const close of closers) await close();
});

/** A registry behind TLS. */
async function secure(options: SecureContextOptions & TlsOptions): Promise<string> {
  const server = createTlsServer(options, (request, response) => registry.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function ping(host: string, certificates: CertificateOptions): Promise<number> {
  const transport = createTransport({ clock: jumpingClock(), timeout: 5000, retry: { attempts: 2 }, certificates });
  try {
    const url = new URL(`https://${host}/v2/`);
    return (await transport.requestBytes({ method: "GET", url, accept: [200], op: "ask", subject: "it" }, 1000)).status;
  } finally {
    await transport.close();
  }
}

test("authorities from files, folders and certs.d add up", async () => {
  const hosts = [await secure(one.issue("one").pem), await secure(two.issue("two").pem)];
  const folder = join(one.folder, "authorities");
  mkdirSync(folder);
  writeFileSync(join(folder, "README"), "no certificate");
  writeFileSync(join(folder, "broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  writeFileSync(join(folder, "two.pem"), two.pem);
  const perHost = join(one.folder, "certs.d");
  for (const host of hosts) mkdirSync(join(perHost, host), { recursive: true });
  writeFileSync(join(perHost, hosts[1] ?? "", "ca.crt"), two.pem);
  for (const host of hosts) await failsWith("TLS", ping(host, {}));
  const cases: CertificateOptions[] = [
    { authorities: [one.certificate, two.certificate] },
    { authorities: [one.certificate], authorityFolders: ["/nonexistent", folder] },
    { authorities: [one.certificate], hostFolders: ["/nonexistent", perHost] },
  ];
  for (const options of cases) for (const host of hosts) assert.equal(await ping(host, options), 200);
});

test("the authorities that the system trusts are trusted: of its bundles the first one that is there", async () => {
  const host = await secure(one.issue("system").pem);
  const missing = "/nonexistent/bundle.crt";
  assert.equal(await ping(host, { systemBundles: [missing, one.certificate] }), 200);
  assert.equal(await ping(host, { systemBundles: [one.certificate], authorities: [two.certificate] }), 200);
  for (const systemBundles of [[missing], [two.certificate, one.certificate]])
    await failsWith("TLS", ping(host, { systemBundles }));
});

const unfitServers: { name: string; issue: () => Pair; says: RegExp; hint: RegExp }[] = [
  {
    name: "of an unknown issuer",
    issue: () => two.issue("unknown"),
    says: /has a certificate that is not trusted \([a-z ]+\)$/,
    hint: /^trust its issuer with `caFiles`/,
  },
  {
    name: "for another host",
    issue: () => one.issue("elsewhere", ["elsewhere.example"], { isOnlyFor: true }),
    says: /has a certificate for another host .*127\.0\.0\.1/,
    hint: /one of the names in the certificate/,
  },
  {
    name: "that has expired",
    issue: () => one.issue("old", [], { days: -1 }),
    says: /has a certificate that has expired$/,
    hint: /clock/,
  },
];
for (const { name, issue, says, hint } of unfitServers)
  test(`a certificate ${name} is named as that`, async () => {
    const host = await secure(issue().pem);
    const error = await failsWith("TLS", ping(host, { authorities: [one.certificate] }));
    assert.match(error.message, says);
    assert.match(error.hint ?? "", hint);
  });

test("a server that speaks only an older TLS is named as that", async () => {
  const host = await secure({ ...one.issue("old-tls").pem, minVersion: "TLSv1.1", maxVersion: "TLSv1.1" });
  const error = await failsWith("TLS", ping(host, { authorities: [one.certificate] }));
  assert.match(error.message, /broke off the TLS handshake/);
  assert.match(error.hint ?? "", /TLS 1\.2/);
});

test("a server that demands a client certificate, and a key that does not fit, are named", async () => {
  const [server, client, other] = [one.issue("server"), one.issue("client"), two.issue("other")];
  const authorities = [one.certificate];
  for (const version of ["tls1_2", "tls1_3"]) {
    const host = await demanding(server, version);
    const none = await refused(ping(host, { authorities }));
    assert.match(`${none.message} ${none.hint}`, /demands? a client certificate/, version);
    assert.match(none.hint ?? "", /`clientCertificate`/);
    const wrong = await refused(ping(host, { authorities, client: other }));
    assert.match(`${wrong.message} ${wrong.hint}`, /client certificate/, version);
    // Accepted: openssl then shows a page.
    const shown = await failsWith("REGISTRY_ERROR", ping(host, { authorities, client }));
    assert.match(shown.message, /web page/);
    const mixed = { certificate: client.certificate, key: other.key };
    const unfit = await failsWith("CONFIG_INVALID", ping(host, { authorities, client: mixed }));
    assert.match(unfit.message, /does not belong to the certificate/);
  }
  // nginx completes the handshake, and then reports what is missing in a page.
  const page = "<html><head><title>400 No required SSL certificate was sent</title></head></html>";
  registry.rules.push({ fault: { status: 400, body: page } });
  const lacking = await failsWith("TLS", ping(await secure(server.pem), { authorities }));
  registry.rules.length = 0;
  assert.match(lacking.message, /demands a client certificate/);
});

/** With TLS 1.3 the alert may come after the request, and be lost when the connection closes. */
async function refused(running: Promise<unknown>): Promise<StaveError> {
  const error = await running.then(
    () => assert.fail("expected a failure"),
    (caught: unknown) => caught,
  );
  assert.ok(isStaveError(error, "TLS", "NETWORK"), String(error));
  return error;
}

/** A server of openssl, which sends alerts that Node's does not. */
async function demanding({ certificate, key }: Pair, version: string): Promise<string> {
  const args = ["s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-CAfile", one.certificate];
  const child = spawn("openssl", [...args, "-Verify", "1", "-verify_return_error", "-www", `-${version}`]);
  closers.push(() => void child.kill());
  for await (const chunk of child.stdout) {
    const found = /ACCEPT [^\n]*:([0-9]+)/.exec(String(chunk));
    if (found) return `127.0.0.1:${found[1]}`;
  }
  throw new Error("openssl s_server did not start");
}

test("plain http reads no certificate at all", async () => {
  const transport = createTransport({ clock: jumpingClock(), certificates: { authorities: ["/nonexistent"] } });
  const url = new URL(`${registry.url}/v2/`);
  await transport.requestBytes({ method: "GET", url, accept: [200], op: "ask", subject: "it" }, 1000);
  await transport.close();
});

test("--cacert may be repeated, and SSL_CERT_FILE, SSL_CERT_DIR, NODE_EXTRA_CA_CERTS and certs.d are added to it", async () => {
  const third = makeAuthority();
  closers.push(third.remove);
  const host = await secure(third.issue("third").pem);
  const from = `oci://${host}/nothing`;
  const perHost = join(third.folder, "containers/certs.d", host);
  mkdirSync(perHost, { recursive: true });
  cpSync(third.certificate, join(perHost, "ca.crt"));
  const cases: { name: string; flags?: string[]; env?: Record<string, string> }[] = [
    { name: "--cacert twice", flags: ["--cacert", one.certificate, "--cacert", third.certificate] },
    { name: "SSL_CERT_FILE", flags: ["--cacert", one.certificate], env: { SSL_CERT_FILE: third.certificate } },
    { name: "SSL_CERT_DIR", env: { SSL_CERT_FILE: one.certificate, SSL_CERT_DIR: `${one.folder}:${third.folder}` } },
    { name: "certs.d", flags: ["--cacert", one.certificate], env: { XDG_CONFIG_HOME: third.folder } },
    {
      name: "NODE_EXTRA_CA_CERTS",
      flags: ["--cacert", one.certificate],
      env: { NODE_EXTRA_CA_CERTS: third.certificate },
    },
  ];
  const missing = await stave(["tags", from, "--retries", "0"]);
  assert.match(missing.stderr, /\[TLS\]/);
  for (const { name, flags = [], env = {} } of cases) {
    const { status, stderr } = await stave(["tags", from, "--retries", "0", ...flags], { env });
    assert.match(stderr, /\[NOT_FOUND\]/, `${name}: ${stderr}`);
    assert.equal(status, 5, name);
  }
});

test("the command says which key does not fit its certificate", async () => {
  const host = await secure(one.issue("plain").pem);
  const [client, other] = [one.issue("mine"), one.issue("not-mine")];
  const files = ["--cert", client.certificate, "--key-file", other.key];
  const ran = await stave(["tags", `oci://${host}/nothing`, "--cacert", one.certificate, ...files]);
  assert.equal(ran.status, 2);
  const problem = `the client key ${other.key} does not belong to the certificate ${client.certificate}`;
  assert.ok(ran.stderr.startsWith(`error: ${problem} [CONFIG_INVALID]\n  hint: `), ran.stderr);
});
