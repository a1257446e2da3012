// Benchmarks push, index and install of many small and some large specs over a network with a delay, beside real Spack
// if available, in one run.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LINK, RUN } from "../../lib/spack/spec/node.ts";
import { postOrder } from "../../lib/spack/spec/traversal.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeStore } from "../make-store.ts";
import { DelayProxy } from "./delay-proxy.ts";
import { type Candidate, measure, median } from "./measure.ts";
import { freePort, registryKinds, Server } from "./server.ts";
import { spackPeer } from "./spack.ts";

const SIZE = { bytes: 300e6, files: 12_000, specs: 200, seed: 3 };
const ROUND_TRIPS = [0, 20, 50, 100];
/** The delay at which Spack is measured too. */
const WITH_SPACK = 50;
const ROUNDS = 3;

/** Creates a store of `scale` times the usual size and moves it at several delays; returns the tables as Markdown. */
export async function benchWan(scratch: string, stave: string, scale: number): Promise<string> {
  const root = join(scratch, "a-store-with-a-longer-name");
  const made = makeStore(root, { ...SIZE, bytes: SIZE.bytes * scale, files: SIZE.files * scale });
  const store = await Store.open(root, { clock: systemClock });
  const installed = [...store.records()].filter(
    ({ node }) =>
      node.external === undefined &&
      postOrder([node], { types: LINK | RUN }).every(
        (each) => each.external !== undefined || store.get(each.hash)?.installed === true,
      ),
  );
  const specs = installed.map(({ node }) => `/${node.hash}`);
  const packages = [...store.database.graph.nodes()].map(({ name }) => name);
  const [kind = "stave serve"] = registryKinds();
  const server = new Server(kind, await freePort(), scratch, stave);
  const tables = [`### ${specs.length} specs, ${(made.bytes / 1e6).toFixed(0)} MB in ${made.files} files, ${kind}`, ""];
  tables.push("| round trip | work | wall | CPU | requests | peak memory |", `|${" --- |".repeat(6)}`);
  try {
    for (const roundTrip of ROUND_TRIPS) {
      const proxy = await DelayProxy.start(server.port, roundTrip);
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
      const host = `127.0.0.1:${proxy.port}`;
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
        roundTrip === WITH_SPACK
          ? spackPeer({ scratch, root, packages, mirror: `oci+http://${host}/bench/spack` })
          : undefined;
      if (spack) {
        const command = (): string[] => spack.command("buildcache", "push", "--unsigned", "bench", ...specs);
        const prepare = (): Promise<void> => server.restart();
        const name = `push by Spack ${spack.version}`;
        figures.push(...(await measure([counted({ name, env: spack.env, command, prepare })], 1, 0)));
      }
      proxy.stop();
      for (const { name, wall, cpu, memory } of figures) {
        const asked = median(requests.get(name) ?? []);
        const cells = [
          `${roundTrip} ms`,
          name,
          `${wall.toFixed(2)} s`,
          `${cpu.toFixed(2)} s`,
          asked,
          `${Math.round(memory / 1e6)} MB`,
        ];
        tables.push(`| ${cells.join(" | ")} |`);
      }
    }
  } finally {
    await server.stop();
  }
  return `${tables.join("\n")}\n`;
}
