// Benchmarks pushing an invented store to registries on loopback: cold, warm and by force, with `tar | gzip -6 |
// sha256sum` of the same prefixes on all cores, and real Spack if available, in one run.
import { mkdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeStore } from "../make-store.ts";
import { type Candidate, measure, median } from "./measure.ts";
import { freePort, registryKinds, Server } from "./server.ts";
import { type SpackPeer, spackPeer } from "./spack.ts";
import { commandTable, type Table } from "./table.ts";

const SIZE = { bytes: 1200e6, files: 46_000, specs: 48, seed: 1 };
const ROUNDS = 3;
const GZIP = "tar, gzip -6, sha256sum";

/** What a registry received in one push. */
interface Seen {
  sent: number;
  requests: number;
}

/** Creates a store of `scale` times the usual size and pushes it; returns the table. */
export async function benchPush(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const root = join(scratch, "store");
  const made = makeStore(root, { ...SIZE, bytes: SIZE.bytes * scale, files: SIZE.files * scale });
  const store = await Store.open(root, { clock: systemClock });
  const installed = [...store.records()].filter((record) => record.installed && record.node.external === undefined);
  const specs = installed.map(({ node }) => `/${node.hash}`);
  const prefixes = installed.map(({ node }) => store.prefixOf(node) ?? "");
  const packages = [...store.database.graph.nodes()].map(({ name }) => name);
  const servers = await Promise.all(
    registryKinds().map(async (kind) => new Server(kind, await freePort(), scratch, stave)),
  );
  const [first] = servers;
  const spack = first && spackPeer({ scratch, root, packages, mirror: `oci+http://${first.host}/bench/spack` });
  const run = new Run({ scratch, stave, root, specs });
  const candidates = [packAlone(prefixes)];
  if (first && spack) candidates.push(run.spack(spack, first));
  for (const server of servers) {
    candidates.push(run.cold("gzip", server));
    if (server === first)
      candidates.push(
        run.again("warm", server, () => []),
        run.again("warm, new --tag", server, (round) => ["--tag", `app-${round}`]),
        run.again("warm, --force", server, () => ["--force"]),
      );
    candidates.push(run.cold("zstd", server));
  }
  try {
    const figures = await measure(candidates, ROUNDS, 0);
    const size = `${made.specs} specs, ${(made.bytes / 1e6).toFixed(0)} MB in ${made.files} files`;
    const title = `a store of ${size}${spack ? `, Spack ${spack.version}` : ""}`;
    return [commandTable(title, figures, { bases: ["Spack ", GZIP], received: (name) => run.seen(name) })];
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

// As many pipelines at once as there are cores.
function packAlone(prefixes: readonly string[]): Candidate {
  const each = "tar -P --format=posix -cf - {} | gzip -6 | sha256sum";
  const all = `printf '%s\\n' "$@" | xargs -P ${availableParallelism()} -I{} sh -c '${each}'`;
  return { name: GZIP, command: () => ["sh", "-c", all, "sh", ...prefixes] };
}

interface RunOptions {
  scratch: string;
  stave: string;
  root: string;
  specs: readonly string[];
}

/** The pushes of one store, and what the registries received. */
class Run {
  readonly #options: RunOptions;
  readonly #seen = new Map<string, Seen[]>();

  constructor(options: RunOptions) {
    this.#options = options;
  }

  /** The medians for a candidate. */
  seen(name: string): Seen | undefined {
    const all = this.#seen.get(name);
    if (all === undefined) return undefined;
    return { sent: median(all.map(({ sent }) => sent)), requests: median(all.map(({ requests }) => requests)) };
  }

  spack(spack: SpackPeer, server: Server): Candidate {
    const name = `Spack to ${server.kind}`;
    const { env } = spack;
    const command = (): string[] => spack.command("buildcache", "push", "--unsigned", "bench", ...this.#options.specs);
    return {
      name,
      env,
      command,
      ...this.#watched(
        name,
        server,
        () => server.restart(),
        () => server.stored(),
      ),
    };
  }

  /** A push to an empty registry, without cached data from earlier ones. */
  cold(compression: string, server: Server): Candidate {
    const prepare = async (): Promise<void> => {
      await server.restart();
      const cache = join(this.#options.scratch, "cache");
      rmSync(cache, { recursive: true, force: true });
      mkdirSync(cache);
    };
    return this.#stave(`stave ${compression} to ${server.kind}`, server, prepare, () => ["--compression", compression]);
  }

  /** A push of what the previous push has pushed. */
  again(what: string, server: Server, args: (round: number) => string[]): Candidate {
    return this.#stave(`stave ${what}`, server, async () => {}, args);
  }

  #stave(name: string, server: Server, prepare: () => Promise<void>, args: (round: number) => string[]): Candidate {
    const { scratch, stave, root, specs } = this.#options;
    const env = { HOME: join(scratch, "home"), XDG_CACHE_HOME: join(scratch, "cache"), SPACK_ROOT: "" };
    const to = `oci+http://${server.host}/bench/stave`;
    const fixed = [process.execPath, stave, "push", to, "--store", root, "--no-env", "--unsigned", "--json", "-q"];
    const command = (round: number): string[] => [...fixed, ...args(round), ...specs];
    const sent = (output: string): number => JSON.parse(output).report.totals.sentBytes;
    return { name, env, command, ...this.#watched(name, server, prepare, sent) };
  }

  // Records what a registry received in each round.
  #watched(
    name: string,
    server: Server,
    prepare: () => Promise<void>,
    sent: (output: string) => number,
  ): Pick<Candidate, "prepare" | "finish"> {
    let before = 0;
    return {
      prepare: async () => {
        await prepare();
        before = server.requests();
      },
      finish: (output) => {
        const seen = { sent: sent(output), requests: server.requests() - before };
        this.#seen.set(name, [...(this.#seen.get(name) ?? []), seen]);
      },
    };
  }
}
