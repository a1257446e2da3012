// Benchmarks reading an install database of 20 000 specs: the whole process, and the time for reading, indexing and
// verifying.
import { statSync } from "node:fs";
import { join } from "node:path";
import { verifyHashes } from "../../lib/spack/spec/dag-hash.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { isMain } from "../is-main.ts";
import { writeStore } from "../make-database.ts";
import { measure } from "./measure.ts";
import { commandTable, type Table } from "./table.ts";

const INSTALLS = 20_000;
const ROUNDS = 5;

/** Creates the database, measures reading it in separate processes, and returns the table. */
export async function benchStore(scratch: string, stave: string): Promise<Table[]> {
  const root = join(scratch, "store");
  writeStore(root, { installs: INSTALLS, seed: 1, root });
  const bytes = statSync(join(root, ".spack-db/index.json")).size;
  const figures = await measure(
    [
      { name: "node alone", command: () => [process.execPath, "-e", "0"] },
      { name: "read and index", command: () => [process.execPath, import.meta.filename, root] },
      {
        name: "stave find hdf5",
        command: () => [process.execPath, stave, "find", "hdf5", "--store", root, "--no-env"],
      },
      {
        name: "stave find 'hdf5 ^mpi %gcc@12'",
        // A query without a match exits with status 1; the shell turns that into success.
        command: () => [
          "sh",
          "-c",
          '"$@" || [ $? = 1 ]',
          "sh",
          process.execPath,
          stave,
          "find",
          "hdf5 ^mpi %gcc@12",
          "--store",
          root,
          "--no-env",
        ],
      },
      { name: "stave --version", command: () => [process.execPath, stave, "--version"] },
      {
        name: "read, index and verify every hash",
        command: () => [process.execPath, import.meta.filename, root, "verify"],
      },
    ],
    ROUNDS,
  );
  return [commandTable(`a database of ${INSTALLS} installs, ${(bytes / 1e6).toFixed(1)} MB`, figures)];
}

if (isMain(import.meta)) {
  const [root = "", verify] = process.argv.slice(2);
  const store = await Store.open(root, { clock: systemClock });
  const [found] = store.records("hdf5");
  if (found === undefined) throw new Error("no hdf5 in the database");
  store.database.graph.virtualsOf(found.node);
  if (verify === "verify") verifyHashes(store.database.graph.nodes(), root);
}
