// The entry point of the command: configures Node, then loads the program.
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { isSea } from "node:sea";
import { fileURLToPath } from "node:url";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** What completion scripts call. */
const COMPLETE = "__complete";
/** Verbs that stream much content. */
const STREAMING = new Set(["copy", "cp", "pull", "install", "serve"]);
/** Verbs that write many documents. */
const DOCUMENTS = new Set(["push", "create", "index", "update-index", "rebuild-index", "sync"]);
/** Half of it in use, as V8 counts it, in bytes. */
const YOUNG_GENERATION = 16 * 1024 * 1024;
/** A process that is large, in bytes of resident memory. */
const LARGE = 180 * 1024 * 1024;

// As `engines` in package.json. Another Node would fail later, with an unhelpful message.
const [major = 0, minor = 0, patch = 0] = process.versions.node.split(".").map((part) => Number.parseInt(part, 10));
const isSupported =
  major === 22 ? minor > 22 || (minor === 22 && patch >= 2) : major > 24 || (major === 24 && minor >= 15);
if (!isSupported) {
  const needed = "Node 22.22.2 or later, or 24.15 or later";
  process.stderr.write(`error: stave needs ${needed}, and this is ${process.versions.node} [USAGE]\n`);
  // In a checkout, the build has installed one that will do.
  const folder = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));
  const hint = existsSync(`${folder}/node`) ? `export PATH=${folder}:$PATH` : "put such a node first on the PATH";
  process.stderr.write(`  hint: ${hint}\n`);
  process.exit(2);
}
// A diagnostic report, which Node writes if its options ask for one, would contain passwords and tokens.
if (process.report !== undefined) process.report.excludeEnv = true;
// Compile the code once per machine, not once per run; a single executable has it compiled. A named import would fail
// on a Node that lacks it.
if (!isSea()) nodeModule.enableCompileCache();

// Each streamed chunk becomes garbage a moment later. With a growing young generation, V8 lets hundreds of megabytes
// accumulate before it collects them. Measured on a copy of 400 MB: 131 MB resident instead of 180, and a fifth less
// CPU time. The flag must be set before anything is loaded.
const KEEP = "--semi-space-growth-factor=1";
// Flags may come first, and Spack's `buildcache VERB` means VERB.
const verb = process.argv.slice(2).find((word) => !word.startsWith("-") && word !== "buildcache") ?? "";
if (STREAMING.has(verb)) setFlagsFromString(KEEP);

// What is made of documents lives a little longer, so that a young generation as small as that would be collected too
// often. This one stops growing at 16 MB. Measured on a push of 800 specs: 350 MB resident instead of 510, and the same
// CPU time. V8 takes no maximum any more once it runs. The old generation may double before it is collected, until the
// process is large: then it is collected sooner. On a push of 1 600 specs, that is a fifth less memory for an eighth
// more CPU time.
if (DOCUMENTS.has(verb)) {
  let isYoungFull = false;
  const timer = setInterval(() => {
    if (!isYoungFull) {
      const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space");
      isYoungFull = young === undefined || young.space_size >= YOUNG_GENERATION;
      if (isYoungFull) setFlagsFromString(KEEP);
    }
    if (!isLarge()) return;
    setFlagsFromString("--heap-growing-percent=40");
    if (isYoungFull) clearInterval(timer);
  }, 100);
  timer.unref();
}

function isLarge(): boolean {
  try {
    return process.memoryUsage.rss() >= LARGE;
  } catch {
    // Without /proc, as in a plain chroot, the size is not known: the usual settings stay.
    return false;
  }
}

async function start(): Promise<void> {
  const argv = process.argv.slice(2);
  const [first, ...rest] = argv;
  if (first === "run" || first === COMPLETE) {
    const { complete, repeatRun } = await import("./quick.ts");
    if (first === COMPLETE) return await complete(rest, async () => await import("./configured-names.ts"));
    // Becomes a program that was run before, or returns.
    await repeatRun(argv);
  }
  await import("./main.ts");
}

// A single executable is no ES module, so nothing here may wait at the top level.
void start();
