// Proves that a host which fails request after request ends the work on hundreds of specs.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isStaveError } from "../../lib/errors.ts";
import { install, openStore, push } from "../../lib/index.ts";
import { parseFetched } from "../../lib/target/choose-platform.ts";
import { isWhole, makeStore } from "../../scripts/make-store.ts";
import { connect } from "../support/client.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const store = join(work, "store");
const surroundings = { env: {}, home: join(work, "home"), cwd: work };
const common = { surroundings, environment: false, retries: 0 } as const;
/** More specs than are in progress at once when the work ends. */
const SPECS = 300;
let registry: TestRegistry;
let words: string[];
const layers: string[] = [];
const cacheOf = (name: string): string => `oci+http://${registry.host}/outages/${name}`;

before(async () => {
  registry = await startRegistry();
  mkdirSync(store);
  makeStore(store, { bytes: 3e5, files: 300, specs: SPECS, seed: 5 });
  const opened = await openStore(store, { surroundings });
  words = [...opened.records()]
    .filter(({ node }) => node.external === undefined && isWhole(opened, node))
    .map(({ node }) => `/${node.hash}`);
  assert.ok(words.length > 0.6 * SPECS, `only ${words.length} specs`);
  const { failures } = await push(cacheOf("good"), { ...common, store, specs: words });
  assert.deepEqual(failures, []);
  const { target, close } = connect(registry.host, "outages/good");
  for await (const tag of target.tags()) {
    const document = parseFetched(await target.fetchManifest(tag), "it");
    if (document.kind === "manifest") layers.push(document.value.layers.at(-1)?.digest ?? "");
  }
  await close();
});
after(() => registry.close());

type Failed = { readonly failures: readonly { readonly message: string }[] };

const jobs: Record<string, { failing(): RegExp; run(): Promise<Failed> }> = {
  push: {
    failing: () => /\/blobs\//,
    run: () => push(cacheOf("new"), { ...common, store, specs: words, updateIndex: true }),
  },
  install: {
    // Not the configs, from which the specs are known.
    failing: () => new RegExp(layers.join("|")),
    run: () => install(cacheOf("good"), { ...common, store: join(work, "to"), specs: words, anyArchitecture: true }),
  },
};

for (const [name, { failing, run }] of Object.entries(jobs))
  test(`${name} gives up after 64 failures in a row`, async () => {
    const path = failing();
    registry.rules.push({ path, fault: { status: 500 } });
    registry.requests.length = 0;
    const { failures } = await run().catch((error: unknown): Failed => {
      assert.ok(isStaveError(error), String(error));
      return { failures: [error] };
    });
    registry.rules.length = 0;
    assert.equal(failures.length, 1, JSON.stringify(failures));
    assert.match(failures[0]?.message ?? "", /^gave up after 64 failures in a row: .*failed \(500\)/);
    const failed = registry.requests.filter(({ url }) => path.test(url)).length;
    assert.ok(failed >= 64 && failed < words.length, `${failed} failed requests for ${words.length} specs`);
    // Nothing is written to a host that does not work: no index, and no tag.
    assert.equal(registry.count("PUT", /\/manifests\//), 0);
  });
