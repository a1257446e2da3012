// Builds schemas/ and dist/: the command and the entries of the library, bundled with the parts that they load on
// demand, and the library's types. Both share their parts; a few large files load in half the time of hundreds of small
// ones.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { reportSchemas } from "./report-schemas.ts";

const root = new URL("..", import.meta.url).pathname;
const { exports } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
// `dist/lib/exports/oci.js` is built from `lib/exports/oci.ts`.
const library = Object.values<{ default?: string }>(exports).flatMap(({ default: file }) => file?.slice(7, -3) ?? []);
// A build of only the bundle leaves the types unchanged.
const isBundleOnly = process.argv.includes("--bundle-only");
for (const old of isBundleOnly ? ["dist/stave.js", "dist/parts"] : ["dist", "schemas"])
  rmSync(`${root}${old}`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  // Threads are started from separate files; see lib/image/pack/pack-pool.ts.
  entryPoints: {
    stave: "lib/cli/launch.ts",
    "parts/pack-worker": "lib/image/pack/pack-worker.ts",
    "parts/place-worker": "lib/relocate/place/place-worker.ts",
    "parts/password-worker": "lib/serve/password-worker.ts",
    ...Object.fromEntries(library.map((entry) => [entry, `${entry}.ts`])),
  },
  outdir: "dist",
  bundle: true,
  // Verbs and large libraries are loaded on demand, from files beside the command.
  splitting: true,
  chunkNames: "parts/[name]-[hash]",
  platform: "node",
  format: "esm",
  target: "node22",
  minifySyntax: true,
  sourcemap: true,
  legalComments: "none",
  // koffi loads a prebuilt native library from beside its own files.
  external: ["koffi"],
  // Some dependencies are CommonJS and load Node's modules with require.
  banner: {
    js: '#!/usr/bin/env node\nimport { createRequire as __createRequire } from "node:module";\nconst require = __createRequire(import.meta.url);',
  },
});
chmodSync(`${root}dist/stave.js`, 0o755);
if (!isBundleOnly) {
  execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}tsconfig.build.json`], {
    stdio: "inherit",
  });
  mkdirSync(`${root}schemas`, { recursive: true });
  for (const [verb, schema] of reportSchemas())
    writeFileSync(`${root}schemas/${verb}.json`, `${JSON.stringify(schema, undefined, 2)}\n`);
}
