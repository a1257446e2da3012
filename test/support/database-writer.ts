// A process that registers specs of a golden store one by one and marks them repeatedly; used by tests with several
// writers.
// usage: node database-writer.ts SYSROOT ROOT SPECS.json NAME…

import { readFileSync } from "node:fs";
import { readLockfile } from "../../lib/spack/spec/lockfile.ts";
import { updateDatabase } from "../../lib/store/write-database.ts";
import { systemClock } from "../../lib/util/time.ts";
import { locksOf, openStore } from "./stores.ts";

const [sysroot = "", root = "", specs = "", ...names] = process.argv.slice(2);
const store = await openStore({ root, version: 8 }, sysroot);
const lock = readLockfile(readFileSync(specs), specs);
await using locks = locksOf(store);
for (const name of names)
  for (const node of lock.graph.nodes())
    if (node.name === name) await updateDatabase(store, { clock: systemClock, locks }, () => [{ op: "add", node }]);
