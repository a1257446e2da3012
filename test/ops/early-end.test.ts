// Proves that a push or an installation that ends early waits for all its work before it closes what the work uses.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { ReadOciCache } from "../../lib/cache/oci-cache.ts";
import { install } from "../../lib/ops/install/install.ts";
import { InstallSource } from "../../lib/ops/install/source.ts";
import { push } from "../../lib/ops/push/push.ts";
import { DEFAULT_LOCKS } from "../../lib/spack/config/settings.ts";
import { createStore } from "../../lib/store/create.ts";
import { StoreLocks } from "../../lib/store/locks.ts";
import { notedSpecs } from "../../lib/store/notes.ts";
import { systemClock } from "../../lib/util/time.ts";
import { emptyLayout } from "../support/caches.ts";
import { goldenLayout, installOptions } from "../support/install.ts";
import { goldenStore, named, pushOptions } from "../support/push.ts";
import { replaceMethods } from "../support/replace-methods.ts";
import { temporaryFolder } from "../support/tree.ts";

const broken = new TypeError("an unknown error");

// These do not depend on each other.
const NAMES = ["compiler-wrapper", "gcc-runtime", "rigging"];

const isConfig = ({ mediaType }: { mediaType: string }): boolean => mediaType.includes("config");

/** Work in progress, of which all but the first piece lasts until a while after the signal aborts. */
class Slow {
  busy = 0;
  #started = 0;
  readonly #second = Promise.withResolvers<void>();

  /** The first call resolves once there is a second. The others throw the signal's reason. */
  async work(signal: AbortSignal | undefined, atSecond: () => void = () => {}): Promise<void> {
    if (++this.#started === 1) {
      await this.#second.promise;
      return signal?.throwIfAborted();
    }
    this.busy++;
    this.#second.resolve();
    atSecond();
    if (signal?.aborted === false) await once(signal, "abort");
    await setTimeout(20);
    this.busy--;
    signal?.throwIfAborted();
  }
}

const HANG = { timeout: 30_000 };

describe("an installation ends with all its work", HANG, () => {
  const rows = [
    { name: "when onSpec throws", ends: "onSpec", error: broken },
    { name: "when it is aborted without a reason of its own", ends: "signal", error: { name: "AbortError" } },
  ];
  for (const { name, ends, error } of rows)
    test(name, async () => {
      const slow = new Slow();
      const stop = new AbortController();
      const plain = await goldenLayout("spack-1.2/plain.oci");
      const target = replaceMethods(plain, {
        fetchBlob: async (descriptor, options) => {
          if (!isConfig(descriptor)) await slow.work(options?.signal, () => ends === "signal" && stop.abort());
          return await plain.fetchBlob(descriptor, options);
        },
      });
      const options = await installOptions([plain], "/opt/q/st", NAMES, {
        sysroot: temporaryFolder(),
        jobs: 4,
        only: "package",
        signal: stop.signal,
        onSpec: ({ outcome }) => {
          if (ends === "onSpec" && outcome === "installed") throw broken;
        },
      });
      const source = new InstallSource([new ReadOciCache(target)]);
      await assert.rejects(install({ ...options, source }), error);
      assert.deepEqual([slow.busy, notedSpecs(options.store)], [0, []]);
    });
});

test("an installation that is aborted before its first spec fetches nothing", async () => {
  const stop = new AbortController();
  const told: string[] = [];
  const plain = await goldenLayout("spack-1.2/plain.oci");
  // The root is too long, which is told after the first wait.
  const options = await installOptions([plain], "/opt/quayside/unpadded", ["fleet"], {
    sysroot: temporaryFolder(),
    signal: stop.signal,
    progress: ({ type }) => {
      told.push(type);
      stop.abort(broken);
    },
  });
  await assert.rejects(install(options), broken);
  assert.deepEqual(told, ["warning"]);
});

for (const kind of ["work", "prefix"] as const)
  test(`an installation that ends waits no longer for the ${kind} lock of a spec`, HANG, async () => {
    const plain = await goldenLayout("spack-1.2/plain.oci");
    const options = await installOptions([plain], "/opt/q/st", NAMES, {
      sysroot: temporaryFolder(),
      only: "package",
      onSpec: ({ outcome }) => {
        if (outcome === "installed") throw broken;
      },
    });
    await createStore(options.store);
    await using other = new StoreLocks(options.store, { clock: systemClock, settings: DEFAULT_LOCKS });
    await other.spec(kind, options.roots[1]?.node.hash ?? "", "exclusive");
    await assert.rejects(install(options), broken);
  });

describe("a push ends with all its work", HANG, () => {
  const rows = [
    { name: "when onSpec throws", ends: "onSpec", error: broken },
    { name: "when it is aborted without a reason of its own", ends: "signal", error: { name: "AbortError" } },
    { name: "when a target throws an unknown error", ends: "target", error: broken },
  ];
  for (const { name, ends, error } of rows)
    test(name, async () => {
      const slow = new Slow();
      const stop = new AbortController();
      const layout = await emptyLayout();
      const target = replaceMethods(layout, {
        pushBlob: async (descriptor, source, options) => {
          if (!isConfig(descriptor)) await slow.work(options?.signal, () => ends === "signal" && stop.abort());
          if (ends === "target") throw broken;
          return await layout.pushBlob(descriptor, source, options);
        },
      });
      const { store } = await goldenStore();
      const onSpec = (): void => {
        if (ends === "onSpec") throw broken;
      };
      const roots = NAMES.map((each) => named(store, each));
      const options = pushOptions(store, target, { roots, only: "package", signal: stop.signal, onSpec });
      await assert.rejects(push(options), error);
      assert.equal(slow.busy, 0);
    });
});
