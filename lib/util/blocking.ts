// Makes the standard streams blocking again, for a program that takes over this process: Node makes pipes non-blocking,
// and that is a property of the pipe, not of the process. Linux only.
import { readFileSync } from "node:fs";
import { fcntlCall } from "./koffi.ts";

const F_SETFL = 4;
const O_NONBLOCK = 0o4000;

/** Clears O_NONBLOCK of descriptors 0 to 2, where it is set; does nothing where that cannot be known. */
export function makeStreamsBlocking(): void {
  for (const descriptor of [0, 1, 2]) {
    const flags = flagsOf(descriptor);
    if (flags === undefined || (flags & O_NONBLOCK) === 0) continue;
    fcntlCall()(descriptor, F_SETFL, "int", flags & ~O_NONBLOCK);
  }
}

// The status flags of an open file, as the kernel prints them in octal.
function flagsOf(descriptor: number): number | undefined {
  try {
    const text = readFileSync(`/proc/self/fdinfo/${descriptor}`, "latin1");
    const [, flags] = /^flags:\s+([0-7]+)$/m.exec(text) ?? [];
    return flags === undefined ? undefined : Number.parseInt(flags, 8);
  } catch {
    return undefined;
  }
}
