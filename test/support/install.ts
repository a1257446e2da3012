// Installations from golden images, and from caches that tests filled.
import { ReadOciCache } from "../../lib/cache/oci-cache.ts";
import type { InstallOptions } from "../../lib/ops/install/install.ts";
import { InstallSource } from "../../lib/ops/install/source.ts";
import { Store } from "../../lib/spack/store/store.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import type { ReadTarget } from "../../lib/target/target.ts";
import { systemClock } from "../../lib/util/time.ts";
import { golden } from "./golden.ts";

/** A golden layout as a source. */
export async function goldenLayout(name: string): Promise<ReadTarget> {
  return await LayoutTarget.open(golden(name), { clock: systemClock, create: false, name });
}

/** The options of an installation of some specs from caches; names refer to specs of the first cache. */
export async function installOptions(
  targets: readonly ReadTarget[],
  root: string,
  names: readonly string[],
  more: Partial<InstallOptions> & { sysroot?: string } = {},
): Promise<InstallOptions> {
  const { sysroot, ...rest } = more;
  const caches = targets.map((target) => new ReadOciCache(target));
  const [first] = caches;
  const tags = [...((await first?.list())?.specs.values() ?? [])];
  const roots = await Promise.all(
    tags.filter(({ name }) => names.includes(name)).map(async ({ tag }) => (await first?.fetchSpec(tag))?.document),
  );
  const store = await Store.open(root, { clock: systemClock, sysroot, mayBeEmpty: true });
  return {
    store,
    source: new InstallSource(caches),
    roots: roots.flatMap((document) => (document ? [{ node: document.root, graph: document.graph }] : [])),
    jobs: 2,
    ...rest,
  };
}
