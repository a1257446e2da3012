// Proves that a connection finds files relative to its working folder, and closes all that it opened.
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { Connection, keychainOptions, type NetworkOptions } from "../../lib/api/places/connection.ts";
import { authFilePlaces } from "../../lib/auth/keychain.ts";
import { parseLocation } from "../../lib/oci/reference.ts";
import { systemClock } from "../../lib/util/time.ts";
import { imageOf, pushImage } from "../support/content.ts";
import { failsWith } from "../support/errors.ts";
import { makeAuthority } from "../support/tls.ts";
import { temporaryFolder } from "../support/tree.ts";

const surroundings = (cwd: string, env: Record<string, string> = {}) => ({ env, cwd, home: cwd, clock: systemClock });

test("folders of authorities, as their files, are relative to the working folder of the call", async () => {
  const authority = makeAuthority();
  const cwd = temporaryFolder();
  mkdirSync(join(cwd, "certificates"));
  copyFileSync(authority.certificate, join(cwd, "certificates/ca.crt"));
  const server = createTlsServer(authority.issue("registry").pem, (_request, response) => response.end("{}"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/v2/`);
  const ping = async (options: NetworkOptions, env: Record<string, string> = {}): Promise<number> => {
    await using connection = new Connection(surroundings(cwd, env), options);
    const request = { method: "GET", url, accept: [200], op: "ask", subject: "it" } as const;
    return (await connection.transport.requestBytes(request, 1000)).status;
  };
  try {
    await failsWith("TLS", ping({}));
    assert.equal(await ping({ caFiles: ["certificates/ca.crt"] }), 200);
    assert.equal(await ping({ caFolders: ["certificates"] }), 200);
    assert.equal(await ping({}, { SSL_CERT_DIR: "absent:certificates" }), 200);
  } finally {
    server.closeAllConnections();
    server.close();
    authority.remove();
  }
});

test("files of credentials are relative to the working folder of the call, whatever names them", () => {
  const home = { home: "/home/me", cwd: "/here", clock: systemClock, uid: 7 };
  const cases: { env?: Record<string, string>; authfile?: string; places: string[] }[] = [
    { authfile: "auth.json", places: ["/here/auth.json"] },
    { env: { REGISTRY_AUTH_FILE: "auth.json" }, places: ["/here/auth.json"] },
    { env: { REGISTRY_AUTH_FILE: "/etc/auth.json" }, places: ["/etc/auth.json"] },
    {
      env: { REGISTRY_AUTH_FILE: "", XDG_RUNTIME_DIR: "run", XDG_CONFIG_HOME: "config", DOCKER_CONFIG: "docker" },
      places: ["/here/run/containers/auth.json", "/here/config/containers/auth.json", "/here/docker/config.json"],
    },
  ];
  for (const { env = {}, authfile, places } of cases)
    assert.deepEqual(authFilePlaces(keychainOptions({ ...home, env }, { authfile })), places);
});

test("if one target fails to close, the others are closed all the same, and the first error is thrown", async () => {
  const cwd = temporaryFolder();
  const connection = new Connection(surroundings(cwd), {});
  const names = ["one", "two", "three"];
  for (const name of names) {
    const target = await connection.write(parseLocation(`oci-layout:./${name}`));
    const image = imageOf(name, [1000]);
    const tag = (text: string) => target.pushManifest(image.bytes, image.descriptor.mediaType, { tag: text });
    await pushImage(target, image, "v1");
    // A longer index has a journal, which is folded when the target is closed.
    await Promise.all(Array.from({ length: 300 }, (_, at) => tag(`${"x".repeat(120)}${at}`)));
    await tag("last");
    if (name !== "three") {
      rmSync(join(cwd, name, "index.json"));
      mkdirSync(join(cwd, name, "index.json"));
    }
    assert.ok(existsSync(join(cwd, name, ".tmp")));
  }
  // A request in progress ends with the transport.
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const url = new URL(`http://127.0.0.1:${(silent.address() as AddressInfo).port}/`);
  const request = { method: "GET", url, accept: [200], op: "ask", subject: "it" } as const;
  const ended = failsWith("ABORTED", connection.transport.requestBytes(request, 1000), /closed/);
  await once(silent, "request");
  await failsWith("FILE_SYSTEM", connection.close(), /one/);
  assert.deepEqual(
    names.filter((name) => existsSync(join(cwd, name, ".tmp"))),
    [],
  );
  await ended;
  silent.close();
});
