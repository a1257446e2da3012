// Benchmarks copying an image of 48 layers and 400 MB between a directory and registries, on loopback and over a line
// with a delay, with every peer on the PATH (skopeo, crane, oras, regctl), in one run.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeImage } from "../make-image.ts";
import { findProgram } from "../peers.ts";
import { DelayProxy, formatLine, type Line } from "./delay-proxy.ts";
import { type Candidate, measure } from "./measure.ts";
import { freePort, registryKinds, Server } from "./server.ts";
import { commandTable, type Table } from "./table.ts";

const LAYERS = 48;
const SIZE = 400e6;
const ROUNDS = 5;
/** A distant registry behind a usual line. */
const FAR: Line = { roundTrip: 50, rate: 125e6 };
const FAR_ROUNDS = 3;

type Way = (image: string, registry: string, fresh: string) => string[];

// How each client writes "copy this directory's image to that registry", the reverse, and "copy from this registry to
// that one"; `fresh` is a directory that does not exist yet.
interface Client {
  name: string;
  program: string;
  push: Way;
  pull: Way;
  between: (from: string, to: string) => string[];
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
    between: (from, to) => [
      "copy",
      "--insecure-policy",
      "--src-tls-verify=false",
      "--dest-tls-verify=false",
      `docker://${from}`,
      `docker://${to}`,
    ],
  },
  {
    name: "crane",
    program: "crane",
    push: (dir, registry) => ["push", "--insecure", dir, registry],
    pull: (_dir, registry, fresh) => ["pull", "--insecure", "--format=oci", registry, fresh],
    between: (from, to) => ["copy", "--insecure", from, to],
  },
  {
    name: "oras",
    program: "oras",
    push: (dir, registry) => ["cp", "--from-oci-layout", "--to-plain-http", `${dir}:latest`, registry],
    pull: (_dir, registry, fresh) => ["cp", "--from-plain-http", "--to-oci-layout", registry, `${fresh}:latest`],
    between: (from, to) => ["cp", "--from-plain-http", "--to-plain-http", from, to],
  },
  {
    name: "regctl",
    program: "regctl",
    push: (dir, registry) => ["image", "copy", `ocidir://${dir}:latest`, registry],
    pull: (_dir, registry, fresh) => ["image", "copy", registry, `ocidir://${fresh}:latest`],
    between: (from, to) => ["image", "copy", from, to],
  },
];

/** Runs the benchmark below a scratch folder and returns its tables. */
export async function benchCopy(scratch: string, stave: string): Promise<Table[]> {
  const image = made(scratch);
  const parts: Table[] = [];
  for (const kind of registryKinds()) {
    const server = new Server(kind, await freePort(), scratch, stave);
    try {
      parts.push(...(await against({ server, host: server.host, scratch, image, stave })));
    } finally {
      await server.stop();
    }
  }
  return parts;
}

/** The same image over a line with a delay, also from one registry to another. */
export async function benchFarCopy(scratch: string, stave: string): Promise<Table[]> {
  const image = made(scratch);
  const [kind = "stave serve"] = registryKinds();
  const server = new Server(kind, await freePort(), scratch, stave);
  const other = new Server(kind, await freePort(), join(scratch, "other"), stave);
  const proxies = [await DelayProxy.start(server.port, FAR), await DelayProxy.start(other.port, FAR)];
  const [host = "", otherHost = ""] = proxies.map(({ port }) => `127.0.0.1:${port}`);
  try {
    await other.restart();
    return await against({ server, host, scratch, image, stave, line: FAR, other, otherHost });
  } finally {
    for (const proxy of proxies) proxy.stop();
    await Promise.all([server.stop(), other.stop()]);
  }
}

function made(scratch: string): string {
  const image = join(scratch, "image");
  makeImage(image, { layers: LAYERS, size: SIZE, tag: "latest", seed: 1 });
  return image;
}

interface AgainstOptions {
  readonly server: Server;
  /** Where clients reach it. */
  readonly host: string;
  readonly scratch: string;
  readonly image: string;
  readonly stave: string;
  readonly line?: Line;
  /** A registry to copy the image to from the first. */
  readonly other?: Server;
  readonly otherHost?: string;
}

async function against(options: AgainstOptions): Promise<Table[]> {
  const { server, host, scratch, image, stave, line, other, otherHost } = options;
  const home = join(scratch, "home");
  mkdirSync(join(home, ".regctl"), { recursive: true });
  const plain = [host, ...(otherHost === undefined ? [] : [otherHost])];
  const hosts = Object.fromEntries(plain.map((name) => [name, { tls: "disabled", hostname: name }]));
  writeFileSync(join(home, ".regctl", "config.json"), JSON.stringify({ hosts }));
  const env = { HOME: home, REGISTRY_AUTH_FILE: join(home, "none.json") };
  const there = `${host}/bench/image:latest`;
  const elsewhere = `${otherHost}/bench/image:latest`;
  const pulled = join(scratch, "pulled");
  const own: Client = {
    name: "stave",
    program: process.execPath,
    push: (dir, to) => [stave, "copy", "-q", `oci-layout:${dir}:latest`, to],
    pull: (_dir, from, fresh) => [stave, "copy", "-q", from, `oci-layout:${fresh}:latest`],
    between: (from, to) => [stave, "copy", "-q", from, to],
  };
  const clients = [own, ...CLIENTS.filter(({ program }) => findProgram(program) !== undefined)];
  const candidates = (prepare: () => Promise<void>, args: (client: Client) => string[]): Candidate[] =>
    clients.map((client) => ({ name: client.name, env, prepare, command: () => [client.program, ...args(client)] }));
  const what = `${LAYERS} layers, ${SIZE / 1e6} MB${line === undefined ? "" : formatLine(line)}`;
  const rounds = line === undefined ? ROUNDS : FAR_ROUNDS;
  const run = async (way: string, all: Candidate[]): Promise<Table> =>
    commandTable(`${way}, ${what}`, await measure(all, rounds));
  const tables = [
    await run(
      `directory to ${server.kind}`,
      candidates(
        () => server.restart(),
        ({ push }) => push(image, there, pulled),
      ),
    ),
    await run(
      `${server.kind} to directory`,
      candidates(
        async () => rmSync(pulled, { recursive: true, force: true }),
        ({ pull }) => pull(image, there, pulled),
      ),
    ),
  ];
  if (other)
    tables.push(
      await run(
        `${server.kind} to ${other.kind}`,
        candidates(
          () => other.restart(),
          ({ between }) => between(there, elsewhere),
        ),
      ),
    );
  rmSync(pulled, { recursive: true, force: true });
  return tables;
}
