// Builds dist/ and schemas/: the command, the library with its types, and the schemas of reports. The command and the
// library are bundled each for itself: a few large files load in half the time of hundreds of small ones, but files
// that both share would be many and small again.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type BuildOptions, build, type Metafile, type Plugin } from "esbuild";
import * as z from "zod";
import { imageSettingsSchema } from "../lib/image/image-settings.ts";
import { policySchema } from "../lib/sign/policy/trust-policy.ts";
import { projectSchema } from "../lib/spack/config/project-settings.ts";
import { writeBrowserPart } from "./browser-part.ts";
import { BUNDLE_OPTIONS, CONTAINED, packagesOf, THREADS } from "./bundle.ts";
import { licensesOf } from "./license-text.ts";
import { manPages } from "./man-pages.ts";
import { reportSchemas } from "./report-schemas.ts";

const root = new URL("..", import.meta.url).pathname;
// A build of only the bundle of the command leaves the library unchanged.
const isBundleOnly = process.argv.includes("--bundle-only");
for (const old of isBundleOnly ? ["dist/stave.js", "dist/parts", "dist/web"] : ["dist", "schemas", "man"])
  rmSync(`${root}${old}`, { recursive: true, force: true });

/** Bundles entry points, and what they load on demand into `parts` beside them. */
async function bundle(
  outdir: string,
  entryPoints: Record<string, string>,
  options: BuildOptions = {},
): Promise<Metafile["inputs"]> {
  const { metafile } = await build({
    ...BUNDLE_OPTIONS,
    entryPoints,
    outdir,
    // Verbs and large libraries are loaded on demand.
    splitting: true,
    chunkNames: "parts/[name]-[hash]",
    format: "esm",
    metafile: true,
    // Some dependencies are CommonJS and load Node's modules with require.
    banner: {
      js: '#!/usr/bin/env node\nimport { createRequire as __createRequire } from "node:module";\nconst require = __createRequire(import.meta.url);',
    },
    ...options,
  });
  return metafile?.inputs ?? {};
}

/**
 * Keeps in one file what every run loads. esbuild makes one chunk of the files that the same parts need, so it would
 * spread the start of the program over a dozen small chunks, each of which costs a third of a millisecond. Therefore
 * each part that is loaded on demand also names the files that the program has loaded by then.
 */
function startInOneFile(inputs: Metafile["inputs"], main: string): Plugin {
  const atStart = new Set<string>();
  const visit = (file: string) => {
    for (const { kind, path } of inputs[file]?.imports ?? [])
      if (kind !== "dynamic-import" && path in inputs && !path.endsWith(".json") && !atStart.has(path)) {
        atStart.add(path);
        visit(path);
      }
  };
  visit(main);
  const imports = [...atStart].map((file) => `import ${JSON.stringify(`${root}${file}`)};`).join("");
  const onDemand = new Set(
    Object.entries(inputs).flatMap(([file, input]) =>
      // What packages load on demand may also be required by them, and would then wrap the files of the start.
      input.imports.flatMap(({ kind, path }) =>
        kind === "dynamic-import" && path !== main && file.startsWith("lib/") ? [`${root}${path}`] : [],
      ),
    ),
  );
  return {
    name: "start-in-one-file",
    setup: (build) => {
      build.onLoad({ filter: /\.[cm]?[jt]s$/ }, ({ path }) => {
        if (!onDemand.has(path)) return undefined;
        return { contents: `${readFileSync(path, "utf8")}\n${imports}`, loader: path.endsWith("ts") ? "ts" : "js" };
      });
    },
  };
}

// What starts instead of the program is one file without any chunk.
const quickFile: Plugin = {
  name: "quick-file",
  setup: (build) => {
    build.onResolve({ filter: /\/quick\.ts$/ }, () => ({ path: "./parts/quick.js", external: true }));
  },
};

await writeBrowserPart();
const command = { stave: "lib/cli/launch.ts" };
const inputs = await bundle("dist", command, { plugins: [...CONTAINED, quickFile], write: false });
const startFiles = { plugins: [...CONTAINED, quickFile, startInOneFile(inputs, "lib/cli/main.ts")] };
const threadFiles = Object.fromEntries(Object.entries(THREADS).map(([name, file]) => [`parts/${name}`, file]));
const alone = { ...threadFiles, "parts/quick": "lib/cli/quick.ts" };
const threads = await bundle("dist", alone, { splitting: false });
const bundled = [...Object.keys(await bundle("dist", command, startFiles)), ...Object.keys(threads)];
chmodSync(`${root}dist/stave.js`, 0o755);
if (!isBundleOnly) {
  const { exports } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  // `dist/lib/exports/oci.js` is built from `lib/exports/oci.ts`.
  const names = Object.values<{ default?: string }>(exports).flatMap(({ default: file }) => file?.slice(11, -3) ?? []);
  const library = Object.fromEntries(names.map((name) => [name, `lib/${name}.ts`]));
  bundled.push(...Object.keys(await bundle("dist/lib", { ...library, ...threadFiles }, { sourcemap: true })));
  execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}tsconfig.build.json`], {
    stdio: "inherit",
  });
  mkdirSync(`${root}schemas`, { recursive: true });
  for (const [verb, schema] of reportSchemas())
    writeFileSync(`${root}schemas/${verb}.json`, `${JSON.stringify(schema, undefined, 2)}\n`);
  const trust = JSON.stringify(z.toJSONSchema(policySchema), undefined, 2);
  writeFileSync(`${root}schemas/trust-policy.json`, `${trust}\n`);
  const image = JSON.stringify(z.toJSONSchema(imageSettingsSchema), undefined, 2);
  writeFileSync(`${root}schemas/image-config.json`, `${image}\n`);
  const project = JSON.stringify(z.toJSONSchema(projectSchema), undefined, 2);
  writeFileSync(`${root}schemas/project.json`, `${project}\n`);
  mkdirSync(`${root}man`, { recursive: true });
  for (const [name, page] of await manPages()) writeFileSync(`${root}man/${name}`, page);
  writeFileSync(`${root}dist/THIRD-PARTY-LICENSES.txt`, licensesOf(packagesOf(bundled)));
}
