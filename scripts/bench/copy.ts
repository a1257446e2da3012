// Copies an image of 48 layers and 400 MB between a directory and a registry on loopback, beside every peer that is on
// the PATH (skopeo, crane, oras, regctl), in one run.
import { type ChildProcess, spawn } from "node:child_process";
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
const CLIENTS: { name: string; program: string; push: Way; pull: Way; env?: Record<string, string> }[] = [
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
export async function benchCopy(scratch: string, stave: string): Promise<string> {
  const image = join(scratch, "image");
  makeImage(image, { layers: LAYERS, size: SIZE, tag: "latest", seed: 1 });
  const parts: string[] = [];
  const kinds: [string, (port: number) => ChildProcess][] = [
    [
      "stave serve",
      (port) =>
        spawn(process.execPath, [stave, "serve", join(scratch, "served"), "--listen", `127.0.0.1:${port}`, "-q"]),
    ],
  ];
  if (findProgram("docker-registry"))
    kinds.unshift([
      "docker-registry",
      (port) => {
        const config = join(scratch, "registry.yml");
        const root = join(scratch, "registry");
        writeFileSync(
          config,
          `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${root}}}\nhttp: {addr: 127.0.0.1:${port}}\n`,
        );
        return spawn("docker-registry", ["serve", config], { stdio: "ignore" });
      },
    ]);
  for (const [kind, start] of kinds) {
    const port = await freePort();
    const server = start(port);
    try {
      await untilUp(port);
      parts.push(...(await against(kind, `127.0.0.1:${port}`, scratch, image, stave)));
    } finally {
      server.kill();
    }
  }
  return parts.join("\n");
}

async function against(kind: string, host: string, scratch: string, image: string, stave: string): Promise<string[]> {
  const home = join(scratch, "home");
  mkdirSync(join(home, ".regctl"), { recursive: true });
  writeFileSync(
    join(home, ".regctl", "config.json"),
    JSON.stringify({ hosts: { [host]: { tls: "disabled", hostname: host } } }),
  );
  const env = { HOME: home, REGISTRY_AUTH_FILE: join(home, "none.json") };
  const fresh = (name: string, round: number) => {
    const path = join(scratch, "pulled", name);
    rmSync(path, { recursive: true, force: true });
    mkdirSync(join(scratch, "pulled"), { recursive: true });
    return `${path}-${round}`;
  };
  const clients = CLIENTS.filter(({ program }) => findProgram(program) !== undefined);
  const all = (way: "push" | "pull"): Candidate[] => [
    {
      name: "stave",
      env,
      command: (round) =>
        way === "push"
          ? [process.execPath, stave, "copy", "-q", `oci-layout:${image}:latest`, `${host}/stave${round}/x:latest`]
          : [
              process.execPath,
              stave,
              "copy",
              "-q",
              `${host}/stave1/x:latest`,
              `oci-layout:${fresh("stave", round)}:latest`,
            ],
    },
    ...clients.map((client) => ({
      name: client.name,
      env,
      command: (round: number) => [
        client.program,
        ...client[way](
          image,
          `${host}/${way === "push" ? client.name + round : "stave1"}/x:latest`,
          fresh(client.name, round),
        ),
      ],
    })),
  ];
  const what = `${LAYERS} layers, ${SIZE / 1e6} MB`;
  const push = figuresTable(`directory to ${kind}, ${what}`, await measure(all("push"), ROUNDS));
  const pull = figuresTable(`${kind} to directory, ${what}`, await measure(all("pull"), ROUNDS));
  rmSync(join(scratch, "pulled"), { recursive: true, force: true });
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
