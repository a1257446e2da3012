// After the last step of the job: removes the login and the program.
import { rmSync } from "node:fs";
import { basename } from "node:path";
import { runAction, state } from "./runner.mjs";

await runAction(() => {
  const folder = state("folder");
  if (basename(folder).startsWith("stave-")) rmSync(folder, { recursive: true, force: true });
  return 0;
});
