// Pushes of golden stores, with the options that made the golden images.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import type { PushOptions } from "../../lib/ops/push/push.ts";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import { Store } from "../../lib/spack/store/store.ts";
import type { Target } from "../../lib/target/target.ts";
import { systemClock } from "../../lib/util/time.ts";
import { goldenSysroot } from "./golden.ts";

const GENERATIONS = {
  "spack-1.2": { root: "/opt/harbor/store", spackPrefix: "/opt/harbor/spack", roots: ["fleet", "hull"] },
  "spack-0.23": { root: "/opt/harbor/store23", spackPrefix: "/opt/harbor/spack23", roots: ["fleet"] },
} as const;
export type Generation = keyof typeof GENERATIONS;

/** A golden store at its recorded path below a new folder. */
export async function goldenStore(generation: Generation = "spack-1.2"): Promise<{ store: Store; sysroot: string }> {
  const sysroot = await goldenSysroot(generation);
  // The folders of the externals on the machine that pushed the golden images.
  for (const folder of ["share/aclocal", "share/man", "share/pkgconfig", "lib/pkgconfig"])
    mkdirSync(join(sysroot, "usr", folder), { recursive: true });
  return { store: await Store.open(GENERATIONS[generation].root, { clock: systemClock, sysroot }), sysroot };
}

/** The installed spec with a name. */
export function named(store: Store, name: string): SpecNode {
  for (const { node, installed } of store.records(name)) if (installed) return node;
  throw new Error(`no ${name} is installed`);
}

/** The options of a push of the golden environment. */
export function pushOptions(
  store: Store,
  target: Target,
  more: Partial<PushOptions> & { generation?: Generation } = {},
): PushOptions {
  const { generation = "spack-1.2", ...rest } = more;
  const { spackPrefix, roots } = GENERATIONS[generation];
  return {
    store,
    target,
    cache: new OciCache(target),
    roots: roots.map((name) => named(store, name)),
    jobs: 2,
    spackPrefix,
    environment: { spackEnv: true },
    ...rest,
  };
}
