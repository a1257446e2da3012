// Proves that requests at once get connections of their own, also at servers that offer HTTP/2.
import assert from "node:assert/strict";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { createTransport } from "../../lib/http/transport.ts";
import { jumpingClock } from "../support/client.ts";
import { makeAuthority } from "../support/tls.ts";

const authority = makeAuthority();
after(() => authority.remove());

test("a server that offers HTTP/2 is asked by HTTP/1.1, over one connection for each request under way", async () => {
  const count = 6;
  const versions: string[] = [];
  const connections = new Set<number | undefined>();
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const server = createSecureServer({ allowHTTP1: true, ...authority.issue("h2").pem }, async (request, response) => {
    versions.push(request.httpVersion);
    connections.add(request.socket.remotePort);
    if (versions.length === count) resolve();
    await all;
    response.end("{}");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const transport = createTransport({ clock: jumpingClock(), certificates: { authorities: [authority.certificate] } });
  try {
    const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/v2/`);
    const ask = () => transport.requestBytes({ method: "GET", url, accept: [200], op: "ask", subject: "it" }, 1000);
    await Promise.all(Array.from({ length: count }, ask));
    assert.deepEqual([new Set(versions), connections.size], [new Set(["1.1"]), count]);
  } finally {
    await transport.close();
    server.close();
  }
});
