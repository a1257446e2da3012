// Indexes for tests of catalogues: invented specs with true hashes, and fields that try to become markup or paths.
import { type CacheIndex, readIndexText } from "../../lib/cache/index-read.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import type { SpecDocument } from "../../lib/spack/spec/spec-file.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { madeSpec } from "./caches.ts";
import { temporaryFolder } from "./tree.ts";

/** Markup that would run if it were taken as such. */
export const MARKUP = `<img src=x onerror="document.title='hit'"><script>document.title='hit'</script>"'>`;

/** Names of packages that mean something to a file system, a shell or JavaScript. */
export const ODD_NAMES = ["con", "__proto__", "constructor", "NUL", "Hdf5", "a".repeat(255), "x.y", "_..", "9to5"];

/** A spec with markup in all fields that may have any text. */
export function hostileSpec(name: string, children: readonly SpecDocument[] = []): SpecDocument {
  return madeSpec(name, `1.0${MARKUP}`, children, {
    arch: { platform: "linux", platform_os: `debian${MARKUP}`, target: `x86_64${MARKUP}` },
    namespace: `made${MARKUP}`,
    parameters: { build_system: MARKUP, [MARKUP]: true, cflags: [MARKUP], list: ["a", MARKUP] },
  });
}

/** The text of an index in which the cache has all specs. */
export function indexOf(specs: readonly SpecDocument[], more: Record<string, JsonObject> = {}): Buffer {
  const installs: Record<string, unknown> = {};
  for (const { graph } of specs)
    for (const { hash, raw } of graph.nodes()) installs[hash] = { spec: raw, ref_count: 0, in_buildcache: true };
  return Buffer.from(JSON.stringify({ database: { version: "8", installs: { ...installs, ...more } } }));
}

/** The same, read. */
export function readIndex(specs: readonly SpecDocument[], more: Record<string, JsonObject> = {}): CacheIndex {
  const bytes = indexOf(specs, more);
  return readIndexText({ name: "the index", bytes, digest: digestOf(bytes) });
}

/** A layout directory with such an index, without the images. */
export async function indexedLayout(specs: readonly SpecDocument[], folder = temporaryFolder()): Promise<string> {
  return await layoutWith(indexOf(specs), folder, specs.length);
}

/** A layout directory with any text as its index. */
export async function layoutWith(bytes: Buffer, folder: string, specs = 1): Promise<string> {
  const target = await LayoutTarget.open(folder, { clock: systemClock, create: true });
  const text = { ...bytesSource(bytes), digest: digestOf(bytes), version: 8, specs, records: new Map() } as const;
  await new OciCache(target).writeIndex(text);
  await target.close();
  return folder;
}
