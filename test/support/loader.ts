// What a child process needs before it can run a source of the project: the loader that this process runs with, if any.

/** The arguments of Node that come before the path of a `.ts` file. */
export const LOADER: readonly string[] = process.execArgv.join(" ").includes("tsx") ? ["--import", "tsx"] : [];
