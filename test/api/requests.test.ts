// Counts what each job asks of a registry, with 1, 10 and 200 specs: a number for each spec, and a few for all
// together.
import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ReadOciCache } from "../../lib/cache/oci-cache.ts";
import { copy, install, list, openStore, push, updateIndex } from "../../lib/index.ts";
import { checkAll } from "../../lib/ops/cache/check.ts";
import { isWhole, makeStore } from "../../scripts/make-store.ts";
import { connect } from "../support/client.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const COUNTS = [1, 10, 200];
/** Where there are 10 specs, most layers are of a size that is asked for in a cache that has some. */
const bytesOf = (count: number): number => count * (count === 10 ? 600_000 : 3000);

/** The requests of one job: for each spec, and for all together at most. */
interface Expected {
  readonly each: number;
  readonly whole: number;
  /** For each spec at least; default: `each`. */
  readonly least?: number;
}

for (const takesWholePosts of [true, false])
  for (const count of COUNTS)
    describe(`${count} specs, ${takesWholePosts ? "one request for a blob" : "two requests for a blob"}`, () => {
      let registry: TestRegistry;
      let root: string;
      let words: string[];
      const work = temporaryFolder();
      const surroundings = { env: {}, home: join(work, "home"), cwd: work };
      const common = { surroundings, environment: false } as const;

      before(async () => {
        registry = await startRegistry({ takesWholePosts });
        root = join(work, "store");
        mkdirSync(root, { recursive: true });
        makeStore(root, { bytes: bytesOf(count), files: count * 3, specs: count, seed: 5 });
        const store = await openStore(root, { surroundings });
        words = [...store.records()]
          .filter(({ node }) => node.external === undefined && isWhole(store, node))
          .map(({ node }) => `/${node.hash}`);
        assert.ok(words.length > 0.5 * count, `only ${words.length} specs`);
      });
      after(async () => {
        await registry.close();
        rmSync(work, { recursive: true, force: true });
      });

      const counted = (name: string, { each, whole, least = each }: Expected, job: () => Promise<unknown>): void => {
        test(name, async () => {
          registry.requests.length = 0;
          await job();
          const asked = registry.requests.length;
          const by = Object.entries(Object.groupBy(registry.requests, ({ method }) => method));
          const shown = by.map(([method, all]) => `${all?.length} ${method}`).join(", ");
          assert.ok(asked <= each * words.length + whole, `${asked} requests: ${shown}`);
          assert.ok(asked >= least * words.length, `only ${asked} requests: ${shown}`);
        });
      };

      const cache = (): string => `oci://${registry.host}/counted/cache`;
      // A layer and a config in one or two requests each, and a manifest. Until the first blob was taken in one
      // request, others take two.
      const each = takesWholePosts ? 3 : 5;
      counted("push", { each, whole: takesWholePosts ? 26 : 1 }, () =>
        push(cache(), { ...common, store: root, specs: words }),
      );
      counted("push again", { each: 0, whole: 2 }, () => push(cache(), { ...common, store: root, specs: words }));
      counted("index", { each: 2, whole: 10 }, () => updateIndex(cache(), common));
      counted("index again", { each: 0, whole: 4 }, () => updateIndex(cache(), common));
      counted("list", { each: 0, whole: 4 }, () => list(cache(), common));
      const check = async (depth: "tags" | "deep"): Promise<void> => {
        const client = connect(registry.host, "counted/cache");
        const { missing, broken } = await checkAll([new ReadOciCache(client.target)], { depth });
        await client.close();
        assert.deepEqual([missing, broken], [[], []]);
      };
      counted("check", { each: 0, whole: 2 }, () => check("tags"));
      // The blob of each layer, too.
      counted("check, deep", { each: 3, whole: 4 }, () => check("deep"));
      // A manifest and a layer; a config only for specs that no other config contains.
      const anyArchitecture = true;
      counted("install by hash", { least: 2, each: 3, whole: 3 }, () => {
        rmSync(join(work, "home"), { recursive: true, force: true });
        return install(cache(), { ...common, store: join(work, "new"), specs: words, anyArchitecture });
      });
      counted("install again", { each: 0, whole: 3 }, () =>
        install(cache(), { ...common, store: join(work, "new"), specs: words, anyArchitecture }),
      );
      counted("copy", { each: 3, whole: 12 }, () =>
        copy(cache(), `oci-layout:${join(work, "copy")}`, { surroundings, allTags: true }),
      );
    });
