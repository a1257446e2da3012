// Copies an image of 48 layers and 400 MB between a directory and a registry on loopback, beside every peer that is on
// the PATH (skopeo, crane, oras, regctl), in one run.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { makeImage } from "../make-image.ts";
import { findProgram } from "../peers.ts";
import { type Candidate, figuresTable, measure } from "./measure.ts";

const LAYERS = 48;
const SIZE = 400e6;
const ROUNDS = 5;

type Way = (image: string, registry: string, fresh: string) => string[];

// How each client writes "copy this directory's image to that registry" and back; `fresh` is a directory not there yet.
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

/** A registry that can be emptied: some clients remember where they have seen a blob, and mount it from there. */
class Server {
  readonly kind: string;
  readonly port: number;
  readonly host: string;
  readonly #folder: string;
  readonly #stave: string;
  #process: ChildProcess | undefined;

  constructor(kind: string, port: number, scratch: string, stave: string) {
    this.kind = kind;
    this.port = port;
    this.host = `127.0.0.1:${port}`;
    this.#folder = join(scratch, "registry");
    this.#stave = stave;
  }

  async restart(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
    mkdirSync(this.#folder, { recursive: true });
    this.#process = this.kind === "docker-registry" ? this.#distribution() : this.#own();
    await untilUp(this.port);
  }

  #own(): ChildProcess {
    const args = ["serve", join(this.#folder, "served"), "--listen", this.host, "-q"];
    return spawn(process.execPath, [this.#stave, ...args], { stdio: "ignore" });
  }

  #distribution(): ChildProcess {
    const config = join(this.#folder, "config.yml");
    const storage = `storage: {filesystem: {rootdirectory: ${join(this.#folder, "data")}}}`;
    writeFileSync(config, `version: 0.1\nlog: {level: error}\n${storage}\nhttp: {addr: ${this.host}}\n`);
    return spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  }

  async stop(): Promise<void> {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null) return;
    running.kill("SIGKILL");
    await once(running, "exit");
  }
}

/** Runs the benchmark below a scratch folder and returns its tables. */
export async function benchCopy(scratch: string, stave: string): Promise<string> {
  const image = join(scratch, "image");
  makeImage(image, { layers: LAYERS, size: SIZE, tag: "latest", seed: 1 });
  const parts: string[] = [];
  for (const kind of findProgram("docker-registry") ? ["docker-registry", "stave serve"] : ["stave serve"]) {
    const server = new Server(kind, await freePort(), scratch, stave);
    try {
      parts.push(...(await against(server, scratch, image, stave)));
    } finally {
      await server.stop();
    }
  }
  return parts.join("\n");
}

async function against(server: Server, scratch: string, image: string, stave: string): Promise<string[]> {
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
  const push = figuresTable(`directory to ${server.kind}, ${what}`, await measure(pushes, ROUNDS));
  const pull = figuresTable(`${server.kind} to directory, ${what}`, await measure(pulls, ROUNDS));
  rmSync(pulled, { recursive: true, force: true });
  return [push, pull];
}

/** A port of the loopback interface that nobody uses at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** Waits until a registry answers; at most 20 s. */
export async function untilUp(port: number): Promise<void> {
  for (let at = 0; at < 200; at++) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/v2/`)).status < 500) return;
    } catch {
      // Not yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no registry came up on port ${port}`);
}
