// What the first line of a script starts (Linux `fs/binfmt_script.c`), through `env` and Spack's `sbang`.

/** The programs that a script needs in order to start. */
export interface ScriptNeeds {
  /** Absolute paths of files that must exist, the interpreter of the first line first. */
  readonly paths: readonly string[];
  /** A program that `env` looks up on the PATH. */
  readonly onPath?: string | undefined;
}

/** The bytes of the first line that Linux 5.1 and later read. */
const LINE_BYTES = 255;

/** Reads the first two lines of a script; undefined if the first line names no absolute path. */
export function readScript(text: string): ScriptNeeds | undefined {
  const [first = "", second = ""] = text.split("\n");
  const words = first
    .slice(2, LINE_BYTES)
    .trim()
    .split(/[ \t]+/);
  const [interpreter = ""] = words;
  if (!interpreter.startsWith("/")) return undefined;
  const script = words[1];
  if (script?.endsWith("/bin/sbang")) {
    // The comment sign of the second line depends on the language of the script.
    const real = /^\s*(?:#|\/\/|--|<\?php\s*#|\{-)!\s*(\/[^\s]+)/.exec(second)?.[1];
    return { paths: [interpreter, script, ...(real === undefined ? [] : [real])] };
  }
  if (!/\/env$/.test(interpreter)) return { paths: [interpreter] };
  return { paths: [interpreter], onPath: wantedOf(words.slice(1)) };
}

// `env` takes flags and assignments before the program; -S splits the rest, which the kernel passes as one word.
function wantedOf(words: readonly string[]): string | undefined {
  const wanted = words.find((word) => !word.startsWith("-") && !word.includes("="));
  return wanted?.replace(/^["']|["']$/g, "");
}
