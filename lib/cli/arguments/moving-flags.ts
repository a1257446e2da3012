// The flags of verbs that copy specs between caches.
import type { Command } from "commander";
import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { addDryRun, addJobs, addTransport, type CommonFlags } from "./shared-flags.ts";
import { addSpack } from "./spack-options.ts";

/** The flags as commander parses them. */
export interface MovingFlags extends CommonFlags, SpackFlags {
  unsigned?: boolean;
  key?: string;
  dryRun?: boolean;
  jobs: number;
}

/** How many specs are copied at once. */
const JOBS = 4;

/** Adds the flags, after those of the verb itself. */
export function addMoving(command: Command): Command {
  command
    .option("-k, --key <key>", "the gpg key for specs without a signature (default: the only secret key)")
    .option("-u, --unsigned", "do not check the signatures of what is copied, and do not sign");
  addDryRun(command);
  addJobs(command, "how many specs to copy at once", JOBS);
  return addSpack(addTransport(command));
}
