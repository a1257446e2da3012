// Benchmarks copying a whole cache of images in a registry to a mirror in a folder, beside a copy of the same images to
// an image layout. Other tools copy images one by one, with the layers of dependencies again and again.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Store } from "../../lib/spack/store/store.ts";
import { systemClock } from "../../lib/util/time.ts";
import { makeStore } from "../make-store.ts";
import { type Candidate, measure } from "./measure.ts";
import { freePort, registryKinds, Server } from "./server.ts";
import { commandTable, type Table } from "./table.ts";

/** Its archives have 1 GB together. */
const SIZE = { bytes: 2300e6, files: 46_000, specs: 48, seed: 1 };
const ROUNDS = 3;

/** Creates a store, pushes it to a registry, copies what is there, and returns the table. */
export async function benchSync(scratch: string, stave: string, scale: number): Promise<Table[]> {
  const root = join(scratch, "a-store-with-a-longer-name");
  makeStore(root, { ...SIZE, bytes: SIZE.bytes * scale, files: SIZE.files * scale });
  const store = await Store.open(root, { clock: systemClock });
  const specs = [...store.records()].flatMap(({ node, installed }) =>
    installed && node.external === undefined ? `/${node.hash}` : [],
  );
  const env = { HOME: join(scratch, "home"), XDG_CACHE_HOME: join(scratch, "cache"), SPACK_ROOT: "" };
  const [kind = "stave serve"] = registryKinds();
  const server = new Server(kind, await freePort(), scratch, stave);
  try {
    await server.restart();
    const cache = `oci+http://${server.host}/bench/sync`;
    const push = [stave, "push", cache, "--store", root, "--no-env", "--update-index", "-q", ...specs];
    execFileSync(process.execPath, push, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"] });
    rmSync(root, { recursive: true });
    const into = (name: string): string => join(scratch, name);
    const empty = (name: string) => async (): Promise<void> => {
      rmSync(into(name), { recursive: true, force: true });
      mkdirSync(into(name));
      execFileSync("sync");
    };
    const own = [process.execPath, stave];
    const candidates: Candidate[] = [
      {
        ...{ name: "stave sync to a mirror", env, prepare: empty("mirror") },
        command: () => [...own, "sync", cache, `file://${into("mirror")}`, "--no-env", "-u", "-q"],
      },
      {
        ...{ name: "stave copy to an image layout", env, prepare: empty("layout") },
        command: () => [...own, "copy", "--all-tags", cache, `oci-layout:${into("layout")}`, "-q"],
      },
    ];
    const what = `${specs.length} specs, ${(server.gzipBlobs().reduce((sum, path) => sum + statSync(path).size, 0) / 1e6).toFixed(0)} MB from ${kind}`;
    return [commandTable(what, await measure(candidates, ROUNDS, 0), { bases: ["stave sync"] })];
  } finally {
    await server.stop();
  }
}
