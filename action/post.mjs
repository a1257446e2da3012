// After the last step of the job: removes the login and the program.
import { rmSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { runAction, state } from "./runner.mjs";

await runAction(() => {
  const folder = state("folder");
  const parent = process.env.RUNNER_TEMP;
  const isOwn = parent && dirname(folder) === resolve(parent) && basename(folder).startsWith("stave-");
  if (isOwn) rmSync(folder, { recursive: true, force: true });
  return 0;
});
