// What a command line is remembered by: the line itself, and the part of the machine and the user that files and
// variables do not show.
import { hostname, machine } from "node:os";
import { readStart } from "../../util/read-start.ts";
import { localDate } from "../../util/time.ts";
import { VERSION } from "./stave-version.ts";
import type { Surroundings } from "./surroundings.ts";

/** Changes with what is remembered of a line. */
const FORMAT = 1;

/** In bytes; Linux describes a processor in about one kilobyte. */
const PROCESSOR_LIMIT = 8192;

/** The key of a line; `project` is the stave.yaml in use. */
export function lineKey(
  { cwd, home, uid, clock }: Pick<Surroundings, "cwd" | "home" | "uid" | "clock">,
  words: readonly string[],
  project: { readonly file: string; readonly text: string } | undefined,
): string {
  const today = localDate(new Date(clock.now()));
  const host = [hostname(), machine(), processor()];
  return JSON.stringify([
    FORMAT,
    VERSION,
    words,
    project?.file ?? null,
    project?.text ?? null,
    cwd,
    home,
    uid ?? null,
    today,
    host,
  ]);
}

// The model and the features in one line. /proc/cpuinfo also has the current clock rate, which some kernels take
// milliseconds to measure, so it is read only where the line is missing.
function processor(): string {
  const line = readStart("/sys/devices/system/cpu/modalias", PROCESSOR_LIMIT);
  const model = readStart("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", PROCESSOR_LIMIT) ?? "";
  if (line !== undefined) return line + model;
  const [first = ""] = (readStart("/proc/cpuinfo", PROCESSOR_LIMIT) ?? "").split("\n\n");
  return first.replaceAll(/^.*(?:mhz|bogomips|clock).*$/gim, "");
}
