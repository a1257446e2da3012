// Proves that views and users of tagged images hold what `stave view` and the base image say, and that the variables
// point to the views.
import assert from "node:assert/strict";
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { DEFAULT_COMPRESSION } from "../../../lib/image/pack/compression.ts";
import { makeLayer } from "../../../lib/image/pack/made-layer.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import type { ImageView } from "../../../lib/ops/push/options.ts";
import { type PushOptions, planOf, push } from "../../../lib/ops/push/push.ts";
import { view } from "../../../lib/ops/store/view.ts";
import { ALL_IN_ONE, type ViewRules, viewSpecs } from "../../../lib/spack/environment/view-specs.ts";
import { layoutForTests } from "../../support/caches.ts";
import { decompressed } from "../../support/decompress.ts";
import { failsWith } from "../../support/errors.ts";
import { glibc, pushTree } from "../../support/made-base.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { readImage } from "../../support/read-image.ts";
import { type TreeItem, temporaryFolder } from "../../support/tree.ts";

const { store } = await goldenStore();
const roots = [named(store, "voyage")];
const bases = await layoutForTests();
const PASSWD = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin";
const file = (path: string, content = ""): TreeItem => ({ type: "file", path, content });
before(async () => {
  const etc = [file("etc/passwd", PASSWD), file("etc/group", "root:x:0:\nstaff:x:50:\n")];
  await pushTree(bases, "plain", [...glibc(36), ...etc]);
  const odd: TreeItem[] = [
    ...etc,
    { type: "symlink", path: "usr/view", target: "share" },
    file("opt/view/bin/voyage"),
    file("srv/view"),
  ];
  await pushTree(bases, "odd", [...glibc(36), ...odd]);
});
const over = (tag: string): Partial<PushOptions> => ({
  base: { name: `base:${tag}`, target: bases, reference: tag },
  checkRun: false,
});
const satisfies = (node: { name: string }, query: string): boolean => node.name === query;
const viewAt = (path: string, rules: Partial<ViewRules> = {}): ImageView => ({
  path,
  specs: viewSpecs({ ...ALL_IN_ONE, ...rules }, roots, satisfies),
});
const options = async (more: Partial<PushOptions>): Promise<PushOptions> =>
  pushOptions(store, await layoutForTests(), { roots, tags: ["app"], environment: {}, ...more });

/** The links of a view on disk, by path. */
async function onDisk(): Promise<Map<string, string>> {
  const directory = join(temporaryFolder(), "view");
  await view({ store, directory, roots, dependencies: true, kind: "symlink", strict: false });
  const links = new Map<string, string>();
  for (const path of readdirSync(directory, { recursive: true, encoding: "latin1" })) {
    const place = join(directory, path);
    if (!path.startsWith(".spack") && lstatSync(Buffer.from(place, "latin1")).isSymbolicLink())
      links.set(path, readlinkSync(Buffer.from(place, "latin1"), "latin1"));
  }
  return links;
}

test("the view of an image has the links of a view on disk, and the variables point to it", async () => {
  const given = await options({ views: [viewAt("/opt/view")], ...over("plain"), checkRun: true });
  const report = await push(given);
  assert.deepEqual(report.failures, []);
  const image = await readImage(given.target, "app");
  const links = new Map<string, string>();
  for (const [path, said] of image.entries)
    if (path.startsWith("opt/view/") && said.startsWith("symlink"))
      links.set(path.slice("opt/view/".length), said.slice("symlink ".length));
  const expected = await onDisk();
  assert.ok(expected.size > 20);
  assert.deepEqual(new Map([...links].sort()), new Map([...expected].sort()));
  const [shown] = report.views;
  assert.deepEqual([shown?.path, shown?.links, shown?.missing], ["/opt/view", expected.size, []]);
  const env = new Map((image.config.config?.Env ?? []).map((entry) => entry.split("=", 2) as [string, string]));
  assert.equal(env.get("PATH"), "/opt/view/bin:/bin:/usr/bin");
  assert.equal(env.get("CMAKE_PREFIX_PATH"), "/opt/view");
  assert.equal(image.specs.at(-1), "stave view /opt/view");
  const again = await push(given);
  assert.deepEqual([again.images[0]?.isNew, again.totals.sentBytes], [false, 0]);
});

test("the images of single specs have no view", async () => {
  const given = await options({ views: [viewAt("/opt/view")] });
  const report = await push(given);
  const tag = report.specs.find(({ name }) => name === "voyage")?.tag ?? "";
  const image = await readImage(given.target, tag);
  assert.ok([...image.entries.keys()].every((path) => !path.startsWith("opt/view")));
  assert.ok(!(image.config.config?.Env ?? []).some((entry) => entry.includes("/opt/view")));
});

test("views and a user count as layers of the budget", async () => {
  const more = { views: [viewAt("/opt/view")], image: { addUser: "app" } };
  const given = await options({ ...more, ...over("plain"), budget: 4 });
  assert.equal((await planOf(given)).images[0]?.layers, 4);
  assert.deepEqual((await push(given)).failures, []);
  assert.equal((await readImage(given.target, "app")).digests.length, 4);
  const error = await failsWith("BUDGET_EXCEEDED", () => push({ ...given, budget: 3 }));
  assert.match(error.message, /the base image base:plain has 1 already, and views and users take 2$/);
});

describe("which specs a view has, and where", () => {
  const names = (rules: Partial<ViewRules>): string[] =>
    viewAt("/v", rules)
      .specs.map(({ node, at }) => `${node.name}${at && ` in ${at}`}`)
      .sort();
  const all = names({});
  for (const [title, rules, expected] of [
    ["the roots", { link: "roots" }, ["voyage"]],
    ["selected ones", { select: ["voyage", "hull", "absent"] }, ["hull", "voyage"]],
    ["all but excluded ones", { exclude: ["voyage"] }, all.filter((name) => name !== "voyage")],
    [
      "in folders by projections, of which the first that fits counts, and all comes last",
      {
        select: ["voyage", "hull"],
        projections: [
          ["all", "{name}"],
          ["hull", "{name}-{version}"],
        ],
      },
      ["hull in hull-2.0", "voyage in voyage"],
    ],
    [
      "without a projection that fits, in the view itself",
      { link: "roots", projections: [["x", "{name}"]] },
      ["voyage"],
    ],
  ] as const)
    test(title, () => {
      const found = names(rules as Partial<ViewRules>).map((name) => name.replace(/hull-[\d.]+$/, "hull-2.0"));
      assert.deepEqual(found, expected);
    });
});

test("a projected view has each spec in its folder, and the variables name these folders", async () => {
  const rules: Partial<ViewRules> = { select: ["voyage"], projections: [["all", "{name}/x"]] };
  const given = await options({ views: [viewAt("/v", rules)] });
  assert.deepEqual((await push(given)).failures, []);
  const image = await readImage(given.target, "app");
  assert.equal(
    image.entries.get("v/voyage/x/bin/voyage"),
    `symlink ${store.prefixOf(named(store, "voyage"))}/bin/voyage`,
  );
  const path = image.config.config?.Env?.find((entry) => entry.startsWith("PATH="));
  assert.match(path ?? "", /^PATH=\/v\/voyage\/x\/bin:\/opt\/harbor\/store\/.*:\/bin:\/usr\/bin$/);
});

describe("a view that does not fit", () => {
  const cases: [string, Partial<PushOptions>, RegExp][] = [
    [
      "over a file of the base",
      { views: [viewAt("/opt/view")], ...over("odd") },
      /^\/opt\/view\/bin\/voyage is in the way.*a file/,
    ],
    ["over a link of the base", { views: [viewAt("/usr/view")], ...over("odd") }, /^\/usr\/view is in the way.*a link/],
    [
      "below a file of the base",
      { views: [viewAt("/srv/view/x")], ...over("odd") },
      /^\/srv\/view is in the way.*a file/,
    ],
    ["in the store", { views: [viewAt(`${store.root}/view`)] }, /is inside the store/],
    [
      "over another view",
      { views: [viewAt("/v"), viewAt("/v")] },
      /is in the way of the view \/v: it is a link already/,
    ],
  ];
  for (const [title, more, message] of cases)
    test(title, async () => {
      const given = await options(more);
      const error = await failsWith("CONFLICT", () => push(given));
      assert.match(error.message, message);
      const tags: string[] = [];
      for await (const tag of given.target.tags()) tags.push(tag);
      assert.deepEqual(tags, [], "nothing was pushed");
    });
});

describe("the user of an image", () => {
  test("is added to the accounts of the base, with a home", async () => {
    const given = await options({ image: { addUser: "app:1234:50" }, ...over("plain") });
    assert.deepEqual((await push(given)).failures, []);
    const image = await readImage(given.target, "app");
    assert.equal(image.config.config?.User, "1234:50");
    const passwd = `${PASSWD}\napp:x:1234:50::/home/app:/bin/sh\n`;
    assert.equal(image.entries.get("etc/passwd"), digestOf(passwd));
    assert.equal(image.entries.get("etc/group"), digestOf("root:x:0:\nstaff:x:50:\n"), "group 50 exists");
    assert.equal(image.entries.get("home/app"), "directory ");
    assert.equal(image.specs.at(-1), "stave user app:1234:50");
  });

  test("without a base, root is there too", async () => {
    const given = await options({ image: { addUser: "app", user: "app:root" } });
    assert.deepEqual((await push(given)).failures, []);
    const image = await readImage(given.target, "app");
    assert.equal(image.config.config?.User, "app:root");
    assert.equal(
      image.entries.get("etc/passwd"),
      digestOf("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"),
    );
    assert.equal(image.entries.get("etc/group"), digestOf("root:x:0:\napp:x:1000:\n"));
  });

  const known: string[] = ["daemon", "daemon:staff", "77:staff", "4321", "1:2"];
  for (const user of known)
    test(`${user} may run it`, async () => {
      const given = await options({ image: { user }, ...over("plain") });
      assert.deepEqual((await push(given)).failures, []);
    });

  const refused: [string, PushOptions["image"], "USAGE" | "CONFLICT", RegExp][] = [
    ["an unknown user", { user: "app" }, "USAGE", /^the image has no user app$/],
    ["an unknown group", { user: "daemon:wheel" }, "USAGE", /^the image has no group wheel$/],
    ["a name that is taken", { addUser: "daemon" }, "CONFLICT", /the base image has daemon with number 1$/],
    ["a number that is taken", { addUser: "app:1" }, "CONFLICT", /the base image has daemon with number 1$/],
    ["root again", { addUser: "boss:0" }, "USAGE", /^the user boss:0 is not valid/],
    ["a name with a blank", { addUser: "a b" }, "USAGE", /^adduser of the image is not valid/i],
    ["a number that tar cannot hold", { addUser: "app:9999999" }, "USAGE", /^the user app:9999999 is not valid/],
  ];
  for (const [title, image, code, message] of refused)
    test(`${title} is refused before anything is packed`, async () => {
      const given = await options({ image, ...over("plain") });
      const error = await failsWith(code, () => push(given));
      assert.match(error.message, message);
      assert.equal(await given.cache.list().then((listing) => listing.specs.size), 0);
    });
});

test("a made layer is a tar archive with owners, whatever its size", async () => {
  const links = Array.from({ length: 5000 }, (_, at) => ({
    kind: "link" as const,
    path: `v/${String(at).padStart(5, "0")}`,
    target: `/store/${"x".repeat(at % 300)}`,
  }));
  const layer = makeLayer(
    [{ kind: "folder", path: "home/app", owner: { user: 1000, group: 2_097_151 } }, ...links],
    DEFAULT_COMPRESSION,
  );
  const raw = await decompressed("gzip", [layer.bytes]);
  assert.equal(digestOf(raw), layer.diffId);
  assert.equal(digestOf(layer.bytes), layer.digest);
  assert.equal(raw.length % 10_240, 0);
  assert.equal(raw.toString("latin1", 108, 124), "0001750\x007777777\x00");
});
