// Proves that the published package works: it is packed, installed into an empty folder, and used there, also by the
// examples.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { hashSync } from "bcryptjs";
import { makeBase } from "../../scripts/make-base.ts";
import { golden } from "../support/golden.ts";

const root = new URL("../..", import.meta.url).pathname;
const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));
const env = { PATH: process.env["PATH"] ?? "", HOME: work, STAVE_STORE: "", SPACK_DISABLE_LOCAL_CONFIG: "1" };

function run(program: string, args: readonly string[], cwd = work, more: Record<string, string> = {}): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: "utf8", env: { ...env, ...more } });
  assert.equal(status, 0, `${basename(program)} ${args.join(" ")}\n${stdout}${stderr}`);
  return stdout;
}

// The result of npm pack, unpacked where Node finds it; its dependencies are those of the checkout, as no test needs a
// network.
function installPackage(): void {
  if (!existsSync(join(root, "dist/lib/exports/oci.js")))
    run(process.execPath, ["--import", "tsx", "scripts/build.ts"], root);
  const [packed] = JSON.parse(run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", work], root));
  const modules = join(work, "node_modules");
  mkdirSync(join(modules, "stave"), { recursive: true });
  run("tar", ["-xzf", join(work, packed.filename), "-C", join(modules, "stave"), "--strip-components=1"]);
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(modules, "stave/package.json"), "utf8"));
  mkdirSync(join(modules, "@koromix"));
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies }))
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  for (const file of globSync("examples/*.mjs", { cwd: root })) cpSync(join(root, file), join(work, basename(file)));
}
installPackage();

const node22 = join(root, "scripts/node22/node_modules/.bin/node");
for (const [at, [name, node]] of [
  ["this Node", process.execPath],
  ["the oldest Node that is supported", node22],
].entries() as Iterable<[number, [string, string]]>)
  test(`the packed command and every import work with ${name}`, (t) => {
    if (!existsSync(node)) return t.skip("scripts/node22 is not installed: make test-node22 does that");
    const { version, exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    assert.equal(run(node, [join(work, "node_modules/stave/dist/stave.js"), "--version"]), `stave ${version}\n`);
    const parts = Object.keys(exports).filter((path) => !path.endsWith(".json"));
    const text = parts.map((path, part) => `import * as m${part} from "stave${path.slice(1)}";`).join("\n");
    writeFileSync(join(work, "all.mjs"), `${text}\nconsole.log(typeof m0.push);\n`);
    assert.equal(run(node, ["all.mjs"]), "function\n");
    // A real job, which packs on a thread and loads files of the library.
    cpSync(golden("spack-1.2/plain.oci"), join(work, `cache-${at}`), { recursive: true });
    const cache = `oci-layout:./cache-${at}`;
    assert.match(run(node, ["list-cache.mjs", cache, "hull"]), /^hull@/);
    assert.match(run(node, ["install-specs.mjs", cache, join(work, `${at}`), "hull"]), /^installed hull /m);
    const serve = `
      import { createRegistry } from "stave/serve";
      const registry = await createRegistry({ directory: ".", htpasswd: { path: "users", text: "me:${hashSync("s3cret", 4)}" } });
      const { url } = await registry.listen({ host: "127.0.0.1", port: 0 });
      const headers = { authorization: "Basic " + btoa("me:s3cret") };
      console.log((await fetch(url + "/v2/")).status, (await fetch(url + "/v2/", { headers })).status);
      await registry.close();`;
    assert.equal(run(node, ["--input-type=module", "-e", serve]), "401 200\n");
    const licenses = readFileSync(join(work, "node_modules/stave/dist/THIRD-PARTY-LICENSES.txt"), "utf8");
    for (const name of ["commander", "undici", "zod", "libdeflate"])
      assert.match(licenses, new RegExp(`^${name} \\d`, "m"));
    const schema = `console.log(require("stave/schemas/push.json").title)`;
    assert.equal(run(node, ["-e", schema]), "What stave push --json prints\n");
  });

// npm's own settings name the registry.
const online = spawnSync("npm", ["ping"], { timeout: 20_000 }).status === 0;

test("npm installs the packed package into an empty prefix, and its command runs", {
  skip: !online && "npm reaches no package registry",
}, () => {
  const [packed] = globSync("stave-*.tgz", { cwd: work });
  const prefix = join(work, "prefix");
  const args = ["install", "--global", "--prefix", prefix, "--no-audit", "--no-fund", join(work, packed ?? "")];
  const installed = spawnSync("npm", args, { cwd: work, encoding: "utf8" });
  assert.equal(installed.status, 0, installed.stderr);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
  const command = join(prefix, "bin/stave");
  for (const [at, node] of [process.execPath, node22].filter((one) => existsSync(one)).entries()) {
    assert.equal(run(node, [command, "--version"]), `stave ${version}\n`);
    // The locks of a store need the native library. Its root is short: these binaries are not padded.
    const store = join(work, `s${at}`);
    run(node, [command, "install", cache, "hull", "--store", store, "--otherarch", "-q"]);
    assert.match(run(node, [command, "find", "--store", store]), /hull@/);
  }
});

const CONSUMER = `
import * as cache from "stave/cache";
import * as oci from "stave/oci";
import * as serve from "stave/serve";
import * as spack from "stave/spack";
import * as stave from "stave";

export async function use(): Promise<number> {
  const report: stave.PushReport = await stave.push("oci://ghcr.io/org/cache", {
    tags: ["app"],
    onProgress: (event) => console.log(event.type === "bytes" ? event.count : event.type),
    signal: AbortSignal.timeout(1000),
  });
  // @ts-expect-error: the option is tags
  await stave.push("oci://ghcr.io/org/cache", { tag: "app" });
  await using opened = await stave.openCache("oci-layout:./cache");
  const index: cache.CacheIndex | undefined = await opened.cache.readIndex();
  const digest: oci.Digest = oci.digestOf(Buffer.from("a"));
  const options: serve.RegistryOptions = { directory: "./cache" };
  const query: spack.SpecQuery = spack.parseQuery("hdf5@1.14", { host: undefined, toolchains: new Map() });
  const registry = await serve.createRegistry(options);
  await registry.close();
  const failure: stave.StaveError | undefined = report.failures[0];
  return digest.length + (query.name ?? "").length + (index === undefined ? 0 : 1) + (failure?.exitCode ?? 0);
}
`;

test("a strict TypeScript program that uses every part compiles, with the library's own types checked", () => {
  writeFileSync(join(work, "consumer.ts"), CONSUMER);
  mkdirSync(join(work, "node_modules/@types"), { recursive: true });
  // The types that users of Node and TypeScript have; undici-types belongs to the former.
  for (const name of ["@types/node", "undici-types"])
    symlinkSync(join(root, "node_modules", name), join(work, "node_modules", name));
  const strict = [
    "strict",
    "exactOptionalPropertyTypes",
    "noUncheckedIndexedAccess",
    "noPropertyAccessFromIndexSignature",
  ];
  const compilerOptions = {
    ...Object.fromEntries(strict.map((option) => [option, true])),
    ...{ noEmit: true, skipLibCheck: false, target: "es2022", module: "nodenext", types: ["node"] },
  };
  writeFileSync(join(work, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
  writeFileSync(join(work, "package.json"), JSON.stringify({ type: "module" }));
  run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", work]);
});

test("stacks name the sources, with source maps", () => {
  const text = 'import("stave").then(({ openTarget }) => openTarget(5)).catch(({ stack }) => console.log(stack))';
  assert.match(
    run(process.execPath, ["--enable-source-maps", "-e", text]),
    /\/lib\/api\/functions\/check-options\.ts:\d+:\d+/,
  );
});

test("the examples run", async () => {
  const ran = new Set<string>();
  const example = (name: string, args: string[], more: Record<string, string> = {}) => {
    ran.add(`${name}.mjs`);
    return run(process.execPath, [`${name}.mjs`, ...args], work, more);
  };
  cpSync(golden("spack-1.2/plain.oci"), join(work, "cache"), { recursive: true });
  assert.match(example("list-cache", ["oci-layout:./cache", "hull"]), /^hull@\S+\/[a-z0-9]{7}\n$/);
  const store = join(work, "s");
  assert.match(example("install-specs", ["oci-layout:./cache", store, "fleet", "hull"]), /^installed hull /m);
  for (const file of ["spack.yaml", "spack.lock"])
    cpSync(golden(`spack-1.2/${file}`), join(work, "env", file), { recursive: true });
  const pushed = example("push-environment", ["oci-layout:./pushed", "./env", "app"], { STAVE_STORE: store });
  assert.match(pushed, /^pushed hull@/m);
  assert.match(example("copy-image", ["oci-layout:./pushed:app", "oci-layout:./copy:app"]), /^app sha256:/);
  makeBase(join(work, "base"), { tag: "small" });
  assert.match(
    example("rebase-image", ["oci-layout:./copy:app", "oci-layout:./base:small"]),
    /^app is now sha256:\w+, \d+ bytes, \d+ of them not needed$/m,
  );

  assert.match(
    example("plan-push", ["oci-layout:./new", "./env"], { STAVE_STORE: store }),
    /^pack hull@[\s\S]*specs to pack/m,
  );
  assert.ok(!existsSync(join(work, "new")));
  assert.match(example("update-index", ["oci-layout:./pushed"]), /^\d+ specs, \d+ of them new, up to date\n$/);
  assert.match(example("list-store", [store]), new RegExp(`^hull@\\S+ ${store}/\\S*hull`, "m"));
  assert.match(example("query-environment", ["./env", "fleet ^hull"]), /^fleet@\S+\/[a-z0-9]{32}\n$/);
  assert.match(example("read-image", ["oci-layout:./pushed:app"]), /^sha256:\w+\n(?:sha256:\w+ \d+ bytes\n)+$/);

  const server = spawn(process.execPath, ["serve-directory.mjs", "./copy"], { cwd: work, env });
  const [line] = (await once(server.stdout, "data")) as [Buffer];
  assert.equal((await fetch(`${String(line).trim()}/v2/`)).status, 200);
  server.kill("SIGTERM");
  await once(server, "exit");
  ran.add("serve-directory.mjs");

  const all = globSync("*.mjs", { cwd: join(root, "examples") }).sort();
  assert.deepEqual([...ran].sort(), all, "every example is run");
  const listed = readFileSync(join(root, "docs/library.md"), "utf8").matchAll(/^\| .*\(\.\.\/examples\/(.*)\)/gm);
  assert.deepEqual([...listed].map(([, name]) => name).sort(), all, "docs/library.md lists every example");
});
