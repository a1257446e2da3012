// Benchmarks the start of programs by `stave run`, beside the least that a process costs: one that does nothing, and a
// Node that does nothing.
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Candidate, measure } from "./measure.ts";
import { commandTable, type Table } from "./table.ts";

const ROUNDS = 20;
const CACHE = resolve(import.meta.dirname, "../../testdata/golden/spack-1.2/plain.oci");

/** Starts a program again and again, for the first time, and once more with its line changed. */
export async function benchRun(scratch: string, stave: string): Promise<Table[]> {
  const home = (name: string): string => join(scratch, name);
  const run = (name: string, folder: string, words: readonly string[], prepare?: () => void): Candidate => ({
    name,
    env: { HOME: home(folder), XDG_DATA_HOME: home(folder), SPACK_ROOT: "", SPACK_ENV: "", STAVE_STORE: "" },
    command: () => [process.execPath, stave, ...words],
    ...(prepare && { prepare: async () => prepare() }),
  });
  const words = ["run", `oci-layout:${CACHE}`, "fleet", "-o", "--", "true"];
  const candidates: Candidate[] = [
    { name: "/bin/true", command: () => ["/bin/true"] },
    { name: "node -e 0", command: () => [process.execPath, "-e", "0"] },
    run("stave run, again", "w", words),
    // Lines with this flag are not remembered.
    run("stave run --verbose, again", "w", ["run", "--verbose", ...words.slice(1)]),
    run("stave run, which installs 7 specs", "c", words, () => rmSync(home("c"), { recursive: true, force: true })),
    run("completion of a spec", "w", ["__complete", "spec", "find", "f"]),
  ];
  return [commandTable("programs started by stave run", await measure(candidates, ROUNDS, 2))];
}
