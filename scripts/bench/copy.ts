// Benchmarks copying an image of 48 layers and 400 MB between a directory and a registry on loopback, with every peer
// on the PATH (skopeo, crane, oras, regctl), in one run.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeImage } from "../make-image.ts";
import { findProgram } from "../peers.ts";
import { type Candidate, measure } from "./measure.ts";
import { freePort, registryKinds, Server } from "./server.ts";
import { commandTable, type Table } from "./table.ts";

const LAYERS = 48;
const SIZE = 400e6;
const ROUNDS = 5;

type Way = (image: string, registry: string, fresh: string) => string[];

// How each client writes "copy this directory's image to that registry" and the reverse; `fresh` is a directory that
// does not exist yet.
interface Client {
  name: string;
  program: string;
  push: Way;
  pull: Way;
}

const CLIENTS: Client[] = [
  {
    name: "skopeo",
    program: "skopeo",
    push: (dir, registry) => [
      "copy",
      "--insecure-policy",
      "--dest-tls-verify=false",
      `oci:${dir}:latest`,
      `docker://${registry}`,
    ],
    pull: (_dir, registry, fresh) => [
      "copy",
      "--insecure-policy",
      "--src-tls-verify=false",
      `docker://${registry}`,
      `oci:${fresh}:latest`,
    ],
  },
  {
    name: "crane",
    program: "crane",
    push: (dir, registry) => ["push", "--insecure", dir, registry],
    pull: (_dir, registry, fresh) => ["pull", "--insecure", "--format=oci", registry, fresh],
  },
  {
    name: "oras",
    program: "oras",
    push: (dir, registry) => ["cp", "--from-oci-layout", "--to-plain-http", `${dir}:latest`, registry],
    pull: (_dir, registry, fresh) => ["cp", "--from-plain-http", "--to-oci-layout", registry, `${fresh}:latest`],
  },
  {
    name: "regctl",
    program: "regctl",
    push: (dir, registry) => ["image", "copy", `ocidir://${dir}:latest`, registry],
    pull: (_dir, registry, fresh) => ["image", "copy", registry, `ocidir://${fresh}:latest`],
  },
];

/** Runs the benchmark below a scratch folder and returns its tables. */
export async function benchCopy(scratch: string, stave: string): Promise<Table[]> {
  const image = join(scratch, "image");
  makeImage(image, { layers: LAYERS, size: SIZE, tag: "latest", seed: 1 });
  const parts: Table[] = [];
  for (const kind of registryKinds()) {
    const server = new Server(kind, await freePort(), scratch, stave);
    try {
      parts.push(...(await against(server, scratch, image, stave)));
    } finally {
      await server.stop();
    }
  }
  return parts;
}

async function against(server: Server, scratch: string, image: string, stave: string): Promise<Table[]> {
  const { host } = server;
  const home = join(scratch, "home");
  mkdirSync(join(home, ".regctl"), { recursive: true });
  writeFileSync(
    join(home, ".regctl", "config.json"),
    JSON.stringify({ hosts: { [host]: { tls: "disabled", hostname: host } } }),
  );
  const env = { HOME: home, REGISTRY_AUTH_FILE: join(home, "none.json") };
  const there = `${host}/bench/image:latest`;
  const pulled = join(scratch, "pulled");
  const own: Client = {
    name: "stave",
    program: process.execPath,
    push: (dir, to) => [stave, "copy", "-q", `oci-layout:${dir}:latest`, to],
    pull: (_dir, from, fresh) => [stave, "copy", "-q", from, `oci-layout:${fresh}:latest`],
  };
  const clients = [own, ...CLIENTS.filter(({ program }) => findProgram(program) !== undefined)];
  const pushes = clients.map(
    (client): Candidate => ({
      name: client.name,
      env,
      prepare: () => server.restart(),
      command: () => [client.program, ...client.push(image, there, pulled)],
    }),
  );
  const pulls = clients.map(
    (client): Candidate => ({
      name: client.name,
      env,
      prepare: async () => rmSync(pulled, { recursive: true, force: true }),
      command: () => [client.program, ...client.pull(image, there, pulled)],
    }),
  );
  const what = `${LAYERS} layers, ${SIZE / 1e6} MB`;
  const push = commandTable(`directory to ${server.kind}, ${what}`, await measure(pushes, ROUNDS));
  const pull = commandTable(`${server.kind} to directory, ${what}`, await measure(pulls, ROUNDS));
  rmSync(pulled, { recursive: true, force: true });
  return [push, pull];
}
