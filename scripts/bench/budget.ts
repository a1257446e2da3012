// Benchmarks images with a budget of layers: joining 400 layers into 100 beside packing them anew, a push without
// changes, and the bytes that updates send with the planner and with other groupings.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { planBudget } from "../../lib/image/budget.ts";
import { DEFAULT_COMPRESSION } from "../../lib/image/pack/compression.ts";
import { type JoinedArchive, type JoinSource, joinLayers } from "../../lib/image/pack/join.ts";
import { packLayer } from "../../lib/image/pack/layer.ts";
import { PackPool } from "../../lib/image/pack/pack-pool.ts";
import { type Digest, Digester, digestOf } from "../../lib/oci/digest.ts";
import { OCI_LAYER_GZIP } from "../../lib/oci/mediatype.ts";
import { push } from "../../lib/ops/push/push.ts";
import { archiveJob } from "../../lib/ops/push/send-layer.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { readAll } from "../../lib/util/stream.ts";
import { systemClock as clock } from "../../lib/util/time.ts";
import { CHANGES, GROUPINGS, makeSpecs, resent } from "../histories.ts";
import { makeEnvironment } from "../make-environment.ts";
import { measure, median } from "./measure.ts";
import type { Table } from "./table.ts";

const SPECS = 400;
const BUDGET = 100;
const ROUNDS = 5;
/** Of the sizes of real specs: 400 of 200 kB on average. */
const SCALE = 1 / 30;
const SEEDS = [1, 2, 3];

/** Returns the tables. */
export async function benchBudget(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const root = join(scratch, "store");
  const specs = makeSpecs(SPECS, 1);
  const hashes = makeEnvironment(root, specs, SCALE * scale);
  const store = await Store.open(root, { clock });
  const groups = planBudget({ specs, budget: BUDGET }).map((parts) =>
    parts.flatMap(({ ids }) => ids.flatMap((id) => hashes.get(id) ?? [])),
  );
  return [
    await joining(store, groups),
    await pushing(scratch, stave, store),
    ...[300, 400].map((count) => histories(count)),
  ];
}

async function joining(store: Store, groups: readonly (readonly string[])[]): Promise<Table> {
  const pool = new PackPool(1);
  const layers = new Map<string, Buffer>();
  const archives = new Map<string, Buffer>();
  const packAll = async (keepsArchive = false): Promise<void> => {
    for (const hash of groups.flat()) {
      const node = store.get(hash)?.node;
      if (node === undefined) continue;
      const stream = packLayer(pool, archiveJob(node, store, undefined), DEFAULT_COMPRESSION, { keepsArchive });
      layers.set(hash, await readAll(stream, 1e9, "a layer"));
      if (keepsArchive) archives.set(hash, stream.takeArchive());
    }
  };
  await packAll(true);
  const known = new Map<string, JoinedArchive>();
  const joinAll = async (from: "layers" | "archives" | "memory"): Promise<void> => {
    for (const hashes of groups) {
      const key = hashes.join();
      const undivided = new Set<Digest>();
      const remembered = from === "memory" ? known.get(key) : undefined;
      const archiveOf = (hash: string): Buffer | undefined => (from === "archives" ? archives.get(hash) : undefined);
      const parts = joinLayers(
        hashes.map((hash) => source(layers.get(hash) ?? Buffer.alloc(0), archiveOf(hash))),
        { compression: DEFAULT_COMPRESSION, known: remembered, undivided },
      );
      const digester = new Digester();
      for (;;) {
        const { done, value } = await parts.next();
        if (done) {
          known.set(key, value);
          break;
        }
        digester.update(value);
      }
      digester.digest();
    }
  };
  const ways: [string, () => Promise<void>][] = [
    ["packed anew, one thread", () => packAll()],
    ["joined, decompressed for the diffIDs", () => joinAll("layers")],
    ["joined, archives kept from packing", () => joinAll("archives")],
    ["joined, diffIDs remembered", () => joinAll("memory")],
  ];
  const times = new Map<string, number[]>();
  for (let round = 0; round <= ROUNDS; round++)
    for (const [name, run] of ways) {
      // CPU time, because packing uses a second thread.
      const before = process.cpuUsage();
      await run();
      const { user, system } = process.cpuUsage(before);
      if (round > 0) times.set(name, [...(times.get(name) ?? []), (user + system) / 1000]);
    }
  await pool.close();
  const size = [...layers.values()].reduce((sum, { length }) => sum + length, 0);
  const packed = median(times.get("packed anew, one thread") ?? []);
  return {
    title: `${layers.size} layers of ${(size / 1e6).toFixed(0)} MB as ${groups.length}`,
    columns: [
      { name: "CPU", unit: "s" },
      { name: "times as fast", unit: "ratio" },
    ],
    rows: ways.map(([name]) => {
      const time = median(times.get(name) ?? []);
      return { name, cells: [time / 1000, packed / time] };
    }),
  };
}

// Digests are computed once, as by a push that knows them.
const digests = new WeakMap<Buffer, Digest>();

function source(bytes: Buffer, archive: Buffer | undefined): JoinSource {
  const digest = digests.get(bytes) ?? digestOf(bytes);
  digests.set(bytes, digest);
  const whole = async (): Promise<Buffer> => bytes;
  return { digest, mediaType: OCI_LAYER_GZIP, size: bytes.length, open: whole, start: whole, archive: () => archive };
}

async function pushing(scratch: string, stave: string, store: Store): Promise<Table> {
  const folder = join(scratch, "cache");
  mkdirSync(folder);
  const target = await LayoutTarget.open(folder, { clock, create: true });
  const roots = [...store.records()].map(({ node }) => node);
  const first = await push({ store, target, cache: new OciCache(target), roots, tags: ["app"], budget: BUDGET });
  await target.close();
  const args = ["push", "--store", store.root, `oci-layout:${folder}`, "--all", "--tag", "app", "-q"];
  const env = { XDG_CACHE_HOME: join(scratch, "xdg") };
  const command = (): string[] => [process.execPath, stave, ...args, "--budget", String(BUDGET)];
  const [again] = await measure([{ name: "again", command, env }], ROUNDS);
  return {
    title: `a push of ${roots.length} specs as an image of ${first.images[0]?.layers} layers`,
    columns: [
      { name: "wall", unit: "s" },
      { name: "sent", unit: "bytes" },
    ],
    rows: [
      { name: "the first", cells: [first.milliseconds / 1000, first.totals.sentBytes] },
      { name: "the same again, as a command", cells: [again?.wall, 0] },
    ],
  };
}

function histories(specs: number): Table {
  return {
    title: `what 30 updates of ${specs} specs send in ${BUDGET} layers`,
    columns: CHANGES.map((name) => ({ name, unit: "bytes" })),
    rows: Object.entries(GROUPINGS).map(([name, grouping]) => {
      const sumOf = (change: (typeof CHANGES)[number]): number =>
        SEEDS.reduce((total, seed) => total + resent(grouping, change, specs, BUDGET, seed), 0);
      return { name, cells: CHANGES.map((change) => sumOf(change) / SEEDS.length) };
    }),
  };
}
