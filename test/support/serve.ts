// Runs `stave serve` inside the test's process, on a free port.
import { readFileSync } from "node:fs";
import { createRegistry } from "../../lib/serve/registry-server.ts";
import { systemClock } from "../../lib/util/time.ts";

/** The path of a file of testdata/tls: `ca.crt`, `server.crt`, `server.key`. */
export function tlsFile(name: string): string {
  return new URL(`../../testdata/tls/${name}`, import.meta.url).pathname;
}

export interface ServeOptions {
  directory: string;
  tls?: boolean | undefined;
  /** The lines of an htpasswd file. */
  users?: string | undefined;
}

/** Starts the server; close it at the end of the test. */
export async function startServe(
  options: ServeOptions,
): Promise<{ host: string; repository: string | undefined; close(): Promise<void> }> {
  const pem = (name: string): string => readFileSync(tlsFile(name), "utf8");
  const registry = await createRegistry({
    directory: options.directory,
    clock: systemClock,
    tls: options.tls ? { cert: pem("server.crt"), key: pem("server.key") } : undefined,
    htpasswd: options.users === undefined ? undefined : { text: options.users, path: "users" },
  });
  const { port } = await registry.listen({ host: "127.0.0.1", port: 0 });
  return { host: `127.0.0.1:${port}`, repository: registry.repository, close: () => registry.close() };
}
