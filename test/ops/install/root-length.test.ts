// Proves that the few variables that are kept of an image tell the same length of the root as all of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { rootRoom, shortEnv } from "../../../lib/ops/install/root-length.ts";
import { readSpecDocument } from "../../../lib/spack/spec/spec-file.ts";
import { Store, type StoreOptions } from "../../../lib/spack/store/store.ts";
import { parseJsonBytes, writeJson } from "../../../lib/spack/text/json.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { fakeHash, fakeNode } from "../../support/graph.ts";
import { temporaryFolder } from "../../support/tree.ts";

const LAYOUTS: { name: string; options: Partial<StoreOptions>; most: number }[] = [
  { name: "Spack's own layout", options: {}, most: 10 },
  {
    name: "one package below a longer folder",
    options: {
      layout: {
        projections: [
          ["mpi", "the-folder-of-all-libraries-for-mpi-of-this-site/{name}-{version}-{hash}"],
          ["all", "{architecture}/{name}-{version}-{hash}"],
        ],
        hashLength: undefined,
      },
      satisfies: (node, query) => node.name === query,
    },
    most: -26,
  },
];

for (const { name, options, most } of LAYOUTS)
  test(`the room of a root is the same with the variables that are kept: ${name}`, async () => {
    const nodes = [
      fakeNode("app", 1, [
        { name: "lib", at: 2 },
        { name: "mpi", at: 3 },
      ]),
      fakeNode("lib", 2, [{ name: "mpi", at: 3 }]),
      fakeNode("mpi", 3, []),
    ];
    const text = Buffer.from(writeJson({ spec: { _meta: { version: 5 }, nodes } }));
    const document = readSpecDocument(parseJsonBytes(text, { name: "made.json" }), { name: "made.json" });
    const built = (name: string, at: number): string => `/opt/built/linux-x86_64/${name}-1.0-${fakeHash(at)}`;
    const paths = [built("app", 1), built("lib", 2), built("mpi", 3)];
    const env = [
      `PATH=${paths.map((path) => `${path}/bin`).join(":")}:/usr/bin`,
      `CMAKE_PREFIX_PATH=${paths.join(":")}`,
    ];
    const store = await Store.open("/opt/longer/root", {
      clock: systemClock,
      sysroot: temporaryFolder(),
      mayBeEmpty: true,
      ...options,
    });
    const known = new Map<string, string>();
    const whole = rootRoom(store, [{ env, document }]);
    assert.deepEqual(rootRoom(store, [{ env: shortEnv({ env, document }, known), document }]), whole);
    assert.equal(whole?.most, most);
    // Each text is kept once.
    assert.deepEqual(
      shortEnv({ env, document }, known),
      paths.map((path) => `=${path}`),
    );
    assert.equal(known.size, 3);
  });
