// Benchmarks push, index and install of hundreds of specs over a network with a delay and on loopback, beside real
// Spack if available, in one run.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LINK, RUN } from "../../lib/spack/spec/node.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { isWhole, makeStore } from "../make-store.ts";
import { DelayProxy, formatLine, type Line } from "./delay-proxy.ts";
import { type Candidate, measure, median } from "./measure.ts";
import { freePort, registryKinds, Server } from "./server.ts";
import { spackPeer } from "./spack.ts";
import { commandTable, type Table } from "./table.ts";

/** An environment of a usual size, at several distances from the registry. */
const FAR = { bytes: 300e6, files: 12_000, specs: 200, seed: 3 };
/** Many specs with little in them, on loopback. */
const SMALL = { bytes: 40e6, files: 6000, specs: 400, seed: 5 };
/** How far the registry is, in milliseconds, and how many bytes per second go each way. */
const LINES: readonly Line[] = [
  { roundTrip: 0 },
  { roundTrip: 20 },
  { roundTrip: 50, rate: 125e6 },
  { roundTrip: 100, rate: 12.5e6 },
];
/** The round trip at which Spack is measured too, because it takes minutes. */
const WITH_SPACK = 50;
const ROUNDS = 3;

/** Moves a store of `scale` times the usual size over several lines; returns a table for each. */
export async function benchWan(scratch: string, stave: string, scale: number): Promise<Table[]> {
  return await benchSpecs({ scratch, stave, scale, size: FAR, lines: LINES, spackAt: WITH_SPACK });
}

/** Moves many small specs on loopback. */
export async function benchSmall(scratch: string, stave: string, scale: number): Promise<Table[]> {
  return await benchSpecs({ scratch, stave, scale, size: SMALL, lines: [{ roundTrip: 0 }], spackAt: 0 });
}

interface SpecsOptions {
  scratch: string;
  stave: string;
  scale: number;
  size: typeof FAR;
  lines: readonly Line[];
  spackAt: number;
}

async function benchSpecs({ scratch, stave, scale, size, lines, spackAt }: SpecsOptions): Promise<Table[]> {
  const root = join(scratch, "a-store-with-a-longer-name");
  const made = makeStore(root, { ...size, bytes: size.bytes * scale, files: size.files * scale });
  const store = await Store.open(root, { clock: systemClock });
  const installed = [...store.records()].filter(
    ({ node }) => node.external === undefined && isWhole(store, node, { types: LINK | RUN }),
  );
  const specs = installed.map(({ node }) => `/${node.hash}`);
  const packages = [...store.database.graph.nodes()].map(({ name }) => name);
  const [kind = "stave serve"] = registryKinds();
  const server = new Server(kind, await freePort(), scratch, stave);
  const what = `${specs.length} specs, ${(made.bytes / 1e6).toFixed(0)} MB in ${made.files} files, ${kind}`;
  const tables: Table[] = [];
  try {
    for (const line of lines) {
      const { roundTrip } = line;
      // A proxy takes CPU time of its own.
      const isDirect = roundTrip === 0 && line.rate === undefined;
      const proxy = isDirect ? undefined : await DelayProxy.start(server.port, line);
      const requests = new Map<string, number[]>();
      const counted = (candidate: Candidate): Candidate => {
        let before = 0;
        return {
          ...candidate,
          prepare: async (round) => {
            await candidate.prepare?.(round);
            before = server.requests();
          },
          finish: () => {
            const seen = server.requests() - before;
            requests.set(candidate.name, [...(requests.get(candidate.name) ?? []), seen]);
          },
        };
      };
      const host = `127.0.0.1:${(proxy ?? server).port}`;
      const cache = `oci+http://${host}/bench/wan`;
      const env = { HOME: join(scratch, "home"), XDG_CACHE_HOME: join(scratch, "cache"), SPACK_ROOT: "" };
      const forget = (): void => rmSync(env.XDG_CACHE_HOME, { recursive: true, force: true });
      const run = (name: string, args: (round: number) => string[], prepare?: () => Promise<void>): Candidate =>
        counted({
          name,
          env,
          command: (round) => [process.execPath, stave, ...args(round), "-q"],
          ...(prepare && { prepare }),
        });
      const push = ["push", cache, "--store", root, "--no-env", ...specs];
      const into = (round: number): string => {
        const folder = join(scratch, `new-${roundTrip}-${round}`);
        mkdirSync(folder, { recursive: true });
        return folder;
      };
      const candidates = [
        run(
          "push",
          () => push,
          async () => {
            await server.restart();
            forget();
          },
        ),
        run("push again", () => push),
        run("index", () => ["index", cache, "--no-env"]),
        run(
          "install by hash",
          (round) => ["install", cache, "--store", into(round), "--no-env", "--otherarch", ...specs],
          async () => forget(),
        ),
      ];
      const figures = await measure(candidates, ROUNDS, 0);
      const spack =
        roundTrip === spackAt
          ? spackPeer({ scratch, root, packages, mirror: `oci+http://${host}/bench/spack` })
          : undefined;
      if (spack) {
        const command = (): string[] => spack.command("buildcache", "push", "--unsigned", "bench", ...specs);
        const prepare = (): Promise<void> => server.restart();
        const name = `push by Spack ${spack.version}`;
        figures.push(...(await measure([counted({ name, env: spack.env, command, prepare })], 1, 0)));
      }
      proxy?.stop();
      tables.push(
        commandTable(`${what}${formatLine(line)}`, figures, {
          bases: ["push by Spack"],
          received: (name) => ({ requests: median(requests.get(name) ?? []) }),
        }),
      );
    }
  } finally {
    await server.stop();
  }
  return tables;
}
