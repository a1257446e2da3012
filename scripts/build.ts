// Builds dist/: the command, bundled into one small file and the parts it loads on demand, and the library with its types.
import { execFileSync } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { build } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
// A build of the bundle alone leaves the library as it is.
const isBundleOnly = process.argv.includes("--bundle-only");
for (const old of isBundleOnly ? ["dist/stave.js", "dist/parts"] : ["dist"])
  rmSync(`${root}${old}`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  // Threads are started from a file of their own; see lib/image/pack/pack-pool.ts.
  entryPoints: {
    stave: "lib/cli/launch.ts",
    "parts/pack-worker": "lib/image/pack/pack-worker.ts",
    "parts/place-worker": "lib/relocate/place/place-worker.ts",
    "parts/password-worker": "lib/serve/password-worker.ts",
  },
  outdir: "dist",
  bundle: true,
  // Verbs and heavy libraries are loaded when they are needed, from files beside the command.
  splitting: true,
  chunkNames: "parts/[name]-[hash]",
  platform: "node",
  format: "esm",
  target: "node22",
  minifySyntax: true,
  legalComments: "none",
  // koffi loads a prebuilt native library from beside its own files.
  external: ["koffi"],
  // Some dependencies are CommonJS and ask for Node's own modules by require.
  banner: {
    js: '#!/usr/bin/env node\nimport { createRequire as __createRequire } from "node:module";\nconst require = __createRequire(import.meta.url);',
  },
});
chmodSync(`${root}dist/stave.js`, 0o755);
if (!isBundleOnly)
  execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}tsconfig.build.json`], {
    stdio: "inherit",
  });
