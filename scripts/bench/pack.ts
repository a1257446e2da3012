// Benchmarks packing all layers of an invented store at several levels, with `tar | gzip -6`, one pipeline per core,
// for comparison: time, memory and size. The default level is chosen by this table.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { relocatable } from "../../lib/image/archive/build-info-writer.ts";
import { parseCompression } from "../../lib/image/pack/compression.ts";
import { packLayer } from "../../lib/image/pack/layer.ts";
import { PackPool } from "../../lib/image/pack/pack-pool.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { forEachLimit } from "../../lib/util/limit.ts";
import { systemClock } from "../../lib/util/time.ts";
import { isMain } from "../is-main.ts";
import { makeStore } from "../make-store.ts";
import { measure } from "./measure.ts";
import type { Table } from "./table.ts";

const SIZE = { bytes: 400e6, files: 15_000, specs: 48, seed: 1 };
const LEVELS = ["gzip:1", "gzip:2", "gzip:4", "gzip:6", "zstd:1", "zstd:2", "zstd:3", "zstd:6"];
const ROUNDS = 1;
// A vertical bar would end the cell of a table.
const GZIP = "tar, gzip -6";

/** Creates the store, measures each level in a separate process, and returns the table. */
export async function benchPack(scratch: string, _stave: string, scale: number): Promise<Table[]> {
  const root = join(scratch, "store");
  const { bytes, files, specs } = makeStore(root, { ...SIZE, bytes: SIZE.bytes * scale, files: SIZE.files * scale });
  const threads = availableParallelism();
  const said = (name: string): string => join(scratch, name.replace(/\W/g, "-"));
  // One archive per spec, with the same long names, as many pipelines at a time as there are cores.
  const gzip = `ls -d ${root}/linux*/* | xargs -P ${threads} -I{} sh -c 'tar -P --format=posix -cf - {} | gzip -6 | wc -c' > ${said("gzip")}`;
  const figures = await measure(
    [
      { name: GZIP, command: () => ["sh", "-c", gzip] },
      ...LEVELS.map((level) => ({
        name: level,
        command: () => ["sh", "-c", `${process.execPath} ${import.meta.filename} ${root} ${level} > ${said(level)}`],
      })),
    ],
    ROUNDS,
  );
  const sizes = figures.map(({ name }) =>
    readFileSync(said(name === GZIP ? "gzip" : name), "utf8")
      .trim()
      .split("\n")
      .reduce((sum, line) => sum + Number(line), 0),
  );
  return [
    {
      title: `${specs} layers of ${(bytes / 1e6).toFixed(0)} MB in ${files} files`,
      columns: [
        { name: "wall", unit: "s" },
        { name: "CPU", unit: "s" },
        { name: "size", unit: "bytes" },
        { name: "to gzip -6", unit: "ratio" },
      ],
      rows: figures.map(({ name, wall, cpu, spread }, at) => {
        const size = sizes[at] ?? 0;
        return { name, cells: [wall, cpu, size, size / (sizes[0] ?? 1)], spread };
      }),
    },
  ];
}

if (isMain(import.meta)) {
  const [root = "", level = "gzip"] = process.argv.slice(2);
  const store = await Store.open(root, { clock: systemClock });
  const installed = [...store.records()].filter((record) => record.installed && record.node.external === undefined);
  const threads = availableParallelism();
  const pool = new PackPool(threads);
  let size = 0;
  await forEachLimit(installed, threads, async ({ node }) => {
    const job = relocatable(node, { root, prefixOf: (other) => store.prefixOf(other) });
    const stream = packLayer(pool, job, parseCompression(level));
    stream.resume();
    await finished(stream);
    size += stream.layer.size;
  });
  await pool.close();
  console.log(size);
}
