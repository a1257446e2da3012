// Replaces this process by another program, which keeps its process number, terminal and signals.
import { accessSync, closeSync, constants, type Dirent, openSync, readdirSync, readSync, statSync } from "node:fs";
import * as nodeModule from "node:module";
import { resolve } from "node:path";
import { findProgram } from "../../api/machine/programs.ts";
import { fileError, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { makeStreamsBlocking } from "../../util/blocking.ts";
import { isNear } from "../../util/typo.ts";
import type { Context } from "./context.ts";

/** A program to run, with its arguments and its whole environment. */
export interface Program {
  readonly path: string;
  /** The name by which it is called, and its arguments. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Finds a program as a shell does: a name with a slash is a path, others are looked up on the PATH of `env`. Throws
 * NOT_FOUND; FILE_SYSTEM if it is not executable.
 */
export function programFor(
  [name = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  { cwd }: Pick<Context, "cwd">,
): Program {
  const path = name.includes("/") ? resolve(cwd, name) : findProgram(name, { env });
  if (path === undefined)
    throw new StaveError("NOT_FOUND", `none of the specs has a program ${printable(name, { most: 160 })}`, {
      subject: name,
      hint: similarPrograms(name, env) ?? "look for its name in the bin folders that `stave env` shows",
    });
  try {
    if (!statSync(path).isFile())
      throw new StaveError("FILE_SYSTEM", `${path} is not a program`, { subject: path, hint: "name a file" });
    accessSync(path, constants.X_OK);
  } catch (cause) {
    throw cause instanceof StaveError ? cause : fileError(cause, "run", path);
  }
  // Shells run a file without an interpreter line by themselves; Node 24 would abort instead of reporting it.
  return isExecutable(path)
    ? { path, args: [name, ...args], env }
    : { path: "/bin/sh", args: ["sh", path, ...args], env };
}

/** The most programs that are compared with a name. */
const MOST_PROGRAMS = 20_000;

// The system's programs are looked at, too: the mistake may be in one of their names.
function similarPrograms(name: string, { PATH = "" }: Readonly<Record<string, string>>): string | undefined {
  const found = new Set<string>();
  let seen = 0;
  for (const folder of PATH.split(":")) {
    if (!folder.startsWith("/")) continue;
    for (const { name: other } of entriesIn(folder)) {
      if (seen++ > MOST_PROGRAMS) break;
      if (isNear(other, name) || (name.length > 2 && other.startsWith(name))) found.add(other);
    }
  }
  // Folders come in the order of the PATH, the specs' own first.
  const names = [...found].slice(0, 5).map((other) => printable(other, { most: 60 }));
  return names.length === 0 ? undefined : `did you mean ${names.join(" or ")}?`;
}

function entriesIn(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => !entry.isDirectory());
  } catch {
    return [];
  }
}

// True for ELF files and for scripts with an interpreter line.
function isExecutable(path: string): boolean {
  const start = Buffer.alloc(4);
  try {
    const file = openSync(path, constants.O_RDONLY);
    try {
      readSync(file, start, 0, 4, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    // A program may be executable without being readable.
    return true;
  }
  return start.toString("latin1") === "\x7fELF" || start.toString("latin1", 0, 2) === "#!";
}

/** Becomes the program. Throws UNSUPPORTED if that is impossible. */
export async function replaceProcess({ path, args, env }: Program): Promise<never> {
  if (process.execve === undefined)
    throw new StaveError("UNSUPPORTED", "this version of Node cannot run another program in its place", {
      hint: 'use Node 22.22 or 24, or `eval "$(stave env SPEC)"`',
    });
  // Node ignores these signals, and ignored ones would stay ignored in the program; caught ones return to the default.
  process.on("SIGPIPE", () => {});
  process.on("SIGXFSZ", () => {});
  makeStreamsBlocking();
  // It would be written at the exit, which never comes.
  nodeModule.flushCompileCache?.();
  process.execve(path, [...args], env);
  throw new StaveError("UNSUPPORTED", `${path} could not be run`, { subject: path });
}
