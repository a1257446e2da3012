// Asks git about a folder. An answer is one line; no git, no repository, and an error are no answer.
import { execFile } from "node:child_process";
import { findProgram } from "./programs.ts";
import type { Surroundings } from "./surroundings.ts";

const WAIT = 10_000;
const OUTPUT_LIMIT = 64 * 1024;

/** Runs git in a folder with some arguments; undefined if it fails or prints nothing. */
export type AskGit = (...args: string[]) => Promise<string | undefined>;

/** Questions to git about a folder. */
export function gitQuestions(folder: string, around: Surroundings): AskGit {
  const git = findProgram("git", around);
  return async (...args) => (git === undefined ? undefined : await output(git, ["-C", folder, ...args], around));
}

function output(program: string, args: string[], { env, signal }: Surroundings): Promise<string | undefined> {
  // A git hook sets these for its own repository.
  const { GIT_DIR: _dir, GIT_WORK_TREE: _tree, GIT_INDEX_FILE: _index, ...others } = env;
  return new Promise((resolve) => {
    const options = { env: others, timeout: WAIT, maxBuffer: OUTPUT_LIMIT, signal };
    execFile(program, args, options, (error, stdout) => {
      const text = stdout.trim();
      resolve(error !== null || text === "" || /\p{Cc}/u.test(text) ? undefined : text);
    });
  });
}
