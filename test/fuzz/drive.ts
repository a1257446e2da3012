// Runs fuzz families in separate processes, detects failures, hangs and crashes, and saves the input to a file.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { forEachLimit } from "../../lib/util/limit.ts";
import { LOADER } from "../support/loader.ts";
import { FAMILIES, loadFamily, materialOf } from "./families.ts";
import { makeInput } from "./mutate.ts";
import type { TargetResult } from "./result.ts";

/** The limit for one input, in milliseconds; far above what any takes on a busy machine. */
const DEADLINE = 60_000;
/** The memory limits of a process, in MiB: the JavaScript heap, and the total. */
const HEAP = 512;
const MEMORY = 1536;

/** What to run. */
export interface DriveOptions {
  readonly seed: number;
  /** The number of inputs per target. */
  readonly count: number;
  readonly jobs: number;
  /** A family or a target; all of them by default. */
  readonly only?: string | undefined;
  /** A file with the one input to run; needs `only`. */
  readonly input?: string | undefined;
  /** Where to write failing inputs. */
  readonly folder: string;
  readonly onResult?: (result: TargetResult) => void;
}

interface Part {
  readonly family: string;
  readonly from: number;
  readonly to: number;
  readonly target: string | undefined;
}

/** Runs everything and returns the failures, each as text with the command that reproduces it. */
export async function drive(options: DriveOptions): Promise<string[]> {
  const failures: string[] = [];
  const folder = mkdtempSync(join(tmpdir(), "stave-fuzz-"));
  try {
    await forEachLimit(await partsOf(options), options.jobs, async (part) => {
      failures.push(...(await new Run(part, options, folder).done()));
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return failures;
}

// Splits families into parts, so that long runs keep all processors busy until the end.
async function partsOf({ only, count, input }: DriveOptions): Promise<Part[]> {
  const parts: Part[] = [];
  const size = Math.max(100_000, Math.ceil(count / 16));
  for (const family of FAMILIES) {
    const { targets, properties = [] } = await loadFamily(family);
    const target = [...targets, ...properties].find(({ name }) => name === only)?.name;
    if (only !== undefined && only !== family && target === undefined) continue;
    for (let from = 0; from < (input === undefined ? count : 1); from += size)
      parts.push({ family, target, from, to: Math.min(count, from + size) });
  }
  if (parts.length === 0) throw new Error(`there is no family and no target named ${only}`);
  return parts;
}

class Run {
  readonly #part: Part;
  readonly #options: DriveOptions;
  readonly #note: string;
  readonly #failures: string[] = [];

  constructor(part: Part, options: DriveOptions, folder: string) {
    this.#part = part;
    this.#options = options;
    this.#note = join(folder, `${part.family}-${part.from}`);
  }

  async done(): Promise<string[]> {
    const { family, from, to, target } = this.#part;
    const { seed, input } = this.#options;
    writeFileSync(this.#note, Buffer.alloc(8));
    const script = join(import.meta.dirname, "run.ts");
    const range = [seed, from, to].map(String);
    const child = spawn(
      process.execPath,
      [
        `--max-old-space-size=${HEAP}`,
        ...LOADER,
        script,
        family,
        ...range,
        this.#note,
        ...[target, input].filter((x) => x !== undefined),
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let complaint = "";
    child.stderr.on("data", (text: Buffer) => {
      complaint = `${complaint}${text.toString()}`.slice(-4000);
    });
    const stop = this.#watch(child);
    for await (const line of createInterface({ input: child.stdout })) await this.#take(JSON.parse(line));
    const end = await ended(child);
    const hung = stop();
    if (hung) await this.#died(`took longer than ${DEADLINE / 1000} s`);
    else if (end !== "0") await this.#died(`the process ended with ${end}\n${complaint}`);
    return this.#failures;
  }

  // Kills a process that hangs at one input; the returned function ends the watch and says whether that was necessary.
  #watch(child: ChildProcess): () => boolean {
    let [seen, since, hung] = ["", Date.now(), false];
    const timer = setInterval(() => {
      const now = readFileSync(this.#note).toString("hex");
      if (now !== seen) [seen, since] = [now, Date.now()];
      else if (Date.now() - since > DEADLINE) {
        hung = true;
        child.kill("SIGKILL");
      }
    }, 1000);
    return () => {
      clearInterval(timer);
      return hung;
    };
  }

  async #take(result: TargetResult): Promise<void> {
    this.#options.onResult?.(result);
    const { failure, target, memory } = result;
    if (failure) this.#fail(target, failure.index, failure.problem, Buffer.from(failure.input ?? "", "base64"));
    else if (memory > MEMORY * 1024) this.#fail(target, 0, `took ${memory >> 10} MiB, expected at most ${MEMORY}`);
  }

  async #died(problem: string): Promise<void> {
    const note = readFileSync(this.#note);
    const [number, index] = [note.readUInt32LE(0), note.readUInt32LE(4)];
    const { targets, properties = [] } = await loadFamily(this.#part.family);
    const target = targets[number];
    const name = target?.name ?? properties[number - targets.length]?.name ?? this.#part.family;
    const input = target && makeInput(materialOf(target), this.#options.seed, index);
    this.#fail(name, index, problem, input);
  }

  #fail(target: string, index: number, problem: string, input?: Buffer): void {
    const { seed, folder } = this.#options;
    const lines = [`${target}, input ${index} of seed ${seed}: ${problem}`];
    const again = `make it again: make fuzz FUZZ_ONLY='${target}'`;
    if (input === undefined || input.length === 0) lines.push(`${again} FUZZ_SEED=${seed}`);
    else {
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `${target.replaceAll(" ", "-")}-${seed}-${index}`);
      writeFileSync(file, input);
      lines.push(`input: ${JSON.stringify(input.subarray(0, 400).toString("latin1"))}`);
      lines.push(`${again} FUZZ_INPUT=${relative(process.cwd(), file)}`);
    }
    this.#failures.push(lines.join("\n  "));
  }
}

function ended(child: ChildProcess): Promise<string> {
  const { exitCode, signalCode } = child;
  if (exitCode !== null || signalCode !== null) return Promise.resolve(String(exitCode ?? signalCode));
  return new Promise((done) => child.once("exit", (code, signal) => done(String(code ?? signal))));
}
