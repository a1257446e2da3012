// The flags for a child process that runs a source file: the loader of this process, if any.

/** The arguments of Node before the path of a `.ts` file. */
export const LOADER: readonly string[] = process.execArgv.join(" ").includes("tsx") ? ["--import", "tsx"] : [];
