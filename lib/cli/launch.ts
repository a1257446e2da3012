// The entry point of the command: configures Node, then loads the program.
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { isSea } from "node:sea";
import { fileURLToPath } from "node:url";

/** What completion scripts call. */
const COMPLETE = "__complete";

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

async function start(): Promise<void> {
  const argv = process.argv.slice(2);
  const [first, ...rest] = argv;
  if (first === "run" || first === COMPLETE) {
    const { complete, repeatRun } = await import("./quick.ts");
    if (first === COMPLETE) return await complete(rest, async () => await import("./configured-names.ts"));
    // Becomes a program that was run before, or returns.
    await repeatRun(argv);
  }
  const { tuneMemory } = await import("./memory.ts");
  // Flags may come first, and Spack's `buildcache VERB` means VERB.
  tuneMemory(argv.find((word) => !word.startsWith("-") && word !== "buildcache") ?? "");
  await import("./main.ts");
}

// A single executable is no ES module, so nothing here may wait at the top level.
void start();
