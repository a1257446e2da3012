// Benchmarks what signatures cost: signing on top of a push, and judging on top of an installation.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Secret } from "../../lib/printable/secret.ts";
import { PrivateKey } from "../../lib/sign/key/private-key.ts";
import { LINK, RUN } from "../../lib/spack/spec/node.ts";
import { postOrder } from "../../lib/spack/spec/traversal.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeStore } from "../make-store.ts";
import { type Candidate, type Figures, measure, median, type Sample } from "./measure.ts";
import { freePort, registryKinds, Server } from "./server.ts";
import { commandTable, type Table } from "./table.ts";

/** What is pushed: of the specs that are made, those whose dependencies are installed, too; and how often. */
interface Size {
  bytes: number;
  files: number;
  /** How many specs are made, and the most that are pushed. */
  specs: number;
  most: number;
  seed: number;
  rounds: number;
}
/** Specs with almost nothing in them. */
const SMALL: Size = { bytes: 100e6, files: 15_000, specs: 2300, most: 2300, seed: 7, rounds: 5 };
/** A thousand specs with as much in them as those of usual environments, 1.5 MB in 60 files each. */
const USUAL: Size = { bytes: 2000e6, files: 80_000, specs: 1350, most: 1000, seed: 7, rounds: 2 };
const INSTALLED = 200;

/** Pushes and installs small specs with and without signatures; a table for each kind of registry. */
export async function benchSign(scratch: string, stave: string, scale: number): Promise<Table[]> {
  return await benchSize(SMALL, { scratch, stave, scale });
}

/** The same with specs of a usual size. */
export async function benchSignUsual(scratch: string, stave: string, scale: number): Promise<Table[]> {
  return await benchSize(USUAL, { scratch, stave, scale });
}

interface Place {
  scratch: string;
  stave: string;
  scale: number;
}

async function benchSize(size: Size, { scratch, stave, scale }: Place): Promise<Table[]> {
  const root = join(scratch, "a-store-with-a-longer-name");
  const { bytes, files, specs: wanted, most, rounds } = size;
  makeStore(root, { ...size, bytes: bytes * scale, files: files * scale, specs: Math.ceil(wanted * scale) });
  const store = await Store.open(root, { clock: systemClock });
  const chosen = new Set<string>();
  for (const { node } of store.records()) {
    const closure = postOrder([node], { types: LINK | RUN }).filter((each) => each.external === undefined);
    if (closure.every(({ hash }) => store.get(hash)?.installed === true))
      for (const { hash } of closure) if (chosen.size < most * scale) chosen.add(hash);
  }
  const specs = [...chosen].map((hash) => `/${hash}`);
  const key = await PrivateKey.generate();
  writeFileSync(join(scratch, "bench.key"), await key.sealed(new Secret("pw")));
  writeFileSync(join(scratch, "bench.pub"), key.publicKey.pem);
  const tables: Table[] = [];
  for (const kind of registryKinds()) {
    const server = new Server(kind, await freePort(), scratch, stave);
    try {
      tables.push(...(await withServer(server, { scratch, stave, root, specs, kind, rounds })));
    } finally {
      await server.stop();
    }
  }
  return tables;
}

interface Run {
  scratch: string;
  stave: string;
  root: string;
  specs: readonly string[];
  kind: string;
  rounds: number;
}

async function withServer(server: Server, { scratch, stave, root, specs, kind, rounds }: Run): Promise<Table[]> {
  const cache = `oci+http://127.0.0.1:${server.port}/bench/sign`;
  const policy = join(scratch, "trust.json");
  const signer = { require: "signature", signers: ["bench"], index: "any" };
  const rules = { [`oci://127.0.0.1:${server.port}/bench`]: signer };
  const signers = { bench: { key: "bench.pub" } };
  writeFileSync(policy, JSON.stringify({ version: 1, default: { require: "none" }, caches: rules, signers }));
  const env = {
    ...{ HOME: join(scratch, "home"), XDG_CACHE_HOME: join(scratch, "cache"), SPACK_ROOT: "", COSIGN_PASSWORD: "pw" },
  };
  const requests = new Map<string, number[]>();
  const busy = new Map<string, number[]>();
  const note = (map: Map<string, number[]>, name: string, value: number) =>
    map.set(name, [...(map.get(name) ?? []), value]);
  const candidate = (name: string, args: (round: number) => string[], prepare: () => Promise<void>): Candidate => {
    let before = 0;
    let cpu = 0;
    return {
      ...{ name, env, command: (round) => [process.execPath, stave, ...args(round), "-q"] },
      prepare: async () => {
        await prepare();
        before = server.requests();
        cpu = server.cpu();
      },
      finish: () => {
        note(requests, name, server.requests() - before);
        note(busy, name, server.cpu() - cpu);
      },
    };
  };
  const forget = async (): Promise<void> => rmSync(env.XDG_CACHE_HOME, { recursive: true, force: true });
  const empty = async (): Promise<void> => {
    await server.restart();
    await forget();
  };
  const push = ["push", cache, "--store", root, "--no-env", ...specs];
  const install = (name: string, round: number): string[] => {
    const into = join(scratch, `${name}-${kind.replace(/\W/g, "")}-${round}`);
    mkdirSync(into, { recursive: true });
    return [
      "install",
      cache,
      "--store",
      into,
      "--no-env",
      "--otherarch",
      "--only",
      "package",
      ...specs.slice(0, INSTALLED),
    ];
  };
  const figures = await measure(
    [
      candidate("push", () => push, empty),
      candidate("push --sign", () => [...push, "--sign", join(scratch, "bench.key")], empty),
      candidate("install", (round) => install("plain", round), forget),
      candidate("install --trust", (round) => [...install("judged", round), "--trust", policy], forget),
      candidate("verify", () => ["verify", cache, "--key", join(scratch, "bench.pub"), "--no-env"], forget),
    ],
    rounds,
    0,
  );
  const what = `${specs.length} specs are pushed, ${Math.min(specs.length, INSTALLED)} of them installed, ${kind}`;
  return [
    commandTable(what, figures, { received: (name) => ({ requests: median(requests.get(name) ?? []) }) }),
    onTop(`on top: medians of the differences of each round, ${kind}`, figures, busy, [
      ["push", "push --sign"],
      ["install", "install --trust"],
    ]),
  ];
}

/** What one command takes more than another, round by round, so that what slows the machine affects both. */
function onTop(
  title: string,
  figures: readonly Figures[],
  busy: ReadonlyMap<string, readonly number[]>,
  pairs: readonly (readonly [string, string])[],
): Table {
  const samples = (name: string): readonly Sample[] => figures.find((one) => one.name === name)?.samples ?? [];
  const rows = pairs.map(([base, more]) => {
    const others = samples(more);
    const differences = (of: "wall" | "cpu"): number[] =>
      samples(base).map((sample, at) => (others[at]?.[of] ?? Number.NaN) - sample[of]);
    const [wall, cpu] = [median(differences("wall")), median(differences("cpu"))];
    const of = (key: "wall" | "cpu"): number => median(samples(base).map((sample) => sample[key]));
    const theirs = busy.get(more) ?? [];
    const server = median((busy.get(base) ?? []).map((seconds, at) => (theirs[at] ?? Number.NaN) - seconds));
    const shares = [(100 * wall) / of("wall"), (100 * cpu) / of("cpu")];
    return { name: `${more} after ${base}`, cells: [wall, cpu, ...shares, server] };
  });
  const columns = [
    { name: "wall", unit: "s" },
    { name: "CPU", unit: "s" },
    { name: "wall %", unit: "count" },
    { name: "CPU %", unit: "count" },
    { name: "CPU of the registry", unit: "s" },
  ] as const;
  return { title, columns, rows };
}
