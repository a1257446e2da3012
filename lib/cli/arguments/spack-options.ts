// The flags of verbs that start from Spack's own files.
import type { Command } from "commander";
import { collect } from "./shared-flags.ts";

/** Adds the flags that say where Spack's things are. */
export function addSpack(command: Command): Command {
  return command
    .optionsGroup("Spack options:")
    .option("--store <dir>", "the Spack install tree (default: $STAVE_STORE, else from Spack's configuration)")
    .option("-e, --env <name|dir>", "an environment (default: $SPACK_ENV)")
    .option("--no-env", "no environment, even when $SPACK_ENV is set")
    .option("-C, --scope <dir>", "one more configuration scope (may be repeated)", collect)
    .option("-c, --config <key:value>", "one setting (may be repeated)", collect)
    .option("--sysroot <dir>", "recorded paths are found under this folder")
    .option("--spack <dir>", "the Spack installation (default: $SPACK_ROOT, else the one on the PATH)");
}
