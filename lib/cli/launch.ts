// The entry point of the command: configures Node, then loads the program.
import * as nodeModule from "node:module";
import { setFlagsFromString } from "node:v8";

/** Verbs that stream much content. */
const STREAMING = new Set(["copy", "install", "serve"]);

// An older Node would fail at the first unknown identifier, with an unhelpful message.
if (!("enableCompileCache" in nodeModule)) {
  process.stderr.write(`error: stave needs Node 22.22 or 24.15 or later, and this is ${process.version} [USAGE]\n`);
  process.exit(2);
}
// Compile the code once per machine, not once per run.
nodeModule.enableCompileCache();

// Each streamed chunk becomes garbage a moment later. With a growing young generation, V8 lets hundreds of megabytes
// accumulate before it collects them. Measured on a copy of 400 MB: 131 MB resident instead of 180, and a fifth less
// CPU time. The flag must be set before anything is loaded.
if (STREAMING.has(process.argv[2] ?? "")) setFlagsFromString("--semi-space-growth-factor=1");

await import("./main.ts");
