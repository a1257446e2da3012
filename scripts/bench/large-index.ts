// Benchmarks questions to a mirror on a web server whose index has 500 MB: an invented one of 100 000 specs.
import { createReadStream, rmSync, statSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { makeAuthority } from "../../test/support/tls.ts";
import { writeMirrorIndex } from "../make-mirror.ts";
import { type Candidate, measure } from "./measure.ts";
import { commandTable, type Table } from "./table.ts";

const SPECS = 100_000;
const PATCHES = 40;
const ROUNDS = 3;

/** Creates the mirror, asks it in separate processes, and returns the table. */
export async function benchLargeIndex(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const folder = join(scratch, "mirror");
  const specs = Math.round(SPECS * scale);
  const size = writeMirrorIndex(folder, { specs, patches: PATCHES });
  const authority = makeAuthority();
  const server = createServer(authority.issue("mirror").pem, (request, response) => {
    const path = join(folder, new URL(request.url ?? "/", "http://host").pathname);
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found?.isFile()) return void response.writeHead(404).end();
    response.writeHead(200, { "content-length": found.size });
    createReadStream(path, { highWaterMark: 1024 * 1024 }).pipe(response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const memory = join(scratch, "cache-folder");
  const env = {
    HOME: join(scratch, "home"),
    XDG_CACHE_HOME: memory,
    SPACK_ROOT: "",
    SPACK_ENV: "",
    SSL_CERT_FILE: authority.certificate,
  };
  const ask = (name: string, where: string, args: string[], makeReady: () => void = () => {}): Candidate => ({
    name,
    env,
    command: () => [process.execPath, stave, "list", where, "-a", ...args],
    prepare: async () => makeReady(),
  });
  const forget = (): void => rmSync(memory, { recursive: true, force: true });
  const web = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const figures = await measure(
    [
      ask("list hdf5, the first time", web, ["hdf5"], forget),
      ask("list hdf5", web, ["hdf5"]),
      ask("list", web, []),
      ask("list hdf5, from a folder, the first time", `file://${folder}`, ["hdf5"], forget),
      ask("list hdf5, from a folder", `file://${folder}`, ["hdf5"]),
    ],
    ROUNDS,
    0,
  );
  server.close();
  server.closeAllConnections();
  authority.remove();
  return [commandTable(`a mirror of ${specs} specs, index of ${(size / 1e6).toFixed(0)} MB`, figures)];
}
