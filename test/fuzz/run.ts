// Runs one family in this process and prints a line of JSON for each target. The current input is saved to a file,
// where the parent finds it if this process hangs or crashes.
// usage: node test/fuzz/run.ts FAMILY SEED FROM TO NOTE [TARGET [FILE]]
import { openSync, readFileSync, writeSync } from "node:fs";
import fc from "fast-check";
import { isStaveError } from "../../lib/errors.ts";
import { loadFamily, materialOf } from "./families.ts";
import type { FuzzTarget } from "./family.ts";
import { makeInput, minimise } from "./mutate.ts";
import type { Note, TargetResult } from "./result.ts";

const [familyName = "", seedText, fromText, toText, notePath = "", only, file] = process.argv.slice(2);
const [seed, from, to] = [seedText, fromText, toText].map(Number) as [number, number, number];
const family = await loadFamily(familyName);
const noteFile = openSync(notePath, "w");
const note = Buffer.alloc(8);

function takeNote({ target, index }: Note): void {
  note.writeUInt32LE(target, 0);
  note.writeUInt32LE(index, 4);
  writeSync(noteFile, note, 0, 8, 0);
}

function tell(result: TargetResult): void {
  writeSync(1, `${JSON.stringify(result)}\n`);
}

// True if the input was accepted, false if it was properly refused.
async function attempt(target: FuzzTarget, input: Buffer): Promise<boolean> {
  try {
    const work = target.run(input);
    if (work instanceof Promise) await work;
    return true;
  } catch (error) {
    if (isStaveError(error) && error.code !== "INTERNAL") return false;
    throw error;
  }
}

async function runTarget(target: FuzzTarget, number: number): Promise<TargetResult> {
  const material = materialOf(target);
  const share = file === undefined ? (target.share?.of ?? 1) : 1;
  const last = file === undefined ? from + Math.ceil((to - from) * share) : from + 1;
  const result: TargetResult = { target: target.name, inputs: 0, accepted: 0, slowest: 0, slowestAt: 0, memory: 0 };
  for (let index = from; index < last; index++) {
    const input = file === undefined ? makeInput(material, seed, index) : readFileSync(file);
    takeNote({ target: number, index });
    const started = performance.now();
    try {
      // The parser gets a copy, so that it cannot change the recorded input.
      if (await attempt(target, Buffer.from(input))) result.accepted++;
    } catch (error) {
      const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const smaller = await minimise(input, (each) =>
        attempt(target, Buffer.from(each)).then(
          () => false,
          () => true,
        ),
      );
      return { ...result, failure: { index, problem, input: smaller.toString("base64") } };
    }
    result.inputs++;
    const took = performance.now() - started;
    if (took > result.slowest) [result.slowest, result.slowestAt] = [took, index];
  }
  return { ...result, memory: process.resourceUsage().maxRSS };
}

for (const [number, target] of family.targets.entries()) {
  if (only !== undefined && target.name !== only) continue;
  tell(await runTarget(target, number));
}
for (const [number, { name, check, share }] of (family.properties ?? []).entries()) {
  if (only !== undefined && name !== only) continue;
  const numRuns = Math.ceil((to - from) * (share?.of ?? 1));
  const result: TargetResult = { target: name, inputs: 0, accepted: 0, slowest: 0, slowestAt: 0, memory: 0 };
  fc.configureGlobal({
    beforeEach: () => {
      takeNote({ target: family.targets.length + number, index: result.inputs++ });
      result.accepted++;
    },
  });
  try {
    await check({ seed: seed + from, numRuns });
    tell({ ...result, memory: process.resourceUsage().maxRSS });
  } catch (error) {
    tell({ ...result, failure: { index: from, problem: String(error instanceof Error ? error.message : error) } });
  }
}
