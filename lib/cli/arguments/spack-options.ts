// The flags of verbs that use Spack's own files.
import type { Command } from "commander";
import { collect } from "./shared-flags.ts";

/** The default store of most verbs, and of those that run programs. */
const DEFAULT_STORES = {
  spack: "from Spack's configuration",
  own: "~/.local/share/stave/store",
} as const;

/** Adds the flags that locate Spack's store, environment and configuration. */
export function addSpack(command: Command, store: keyof typeof DEFAULT_STORES = "spack"): Command {
  return command
    .optionsGroup("Spack options:")
    .option("--store <dir>", `the Spack install tree (default: $STAVE_STORE, else ${DEFAULT_STORES[store]})`)
    .option("-e, --env <name|dir>", "use this environment (default: $SPACK_ENV)")
    .option("--no-env", "use no environment, even if $SPACK_ENV is set")
    .option("-C, --scope <dir>", "add a configuration scope (may be repeated)", collect)
    .option("-c, --config <key:value>", "set one configuration value (may be repeated)", collect)
    .option("--sysroot <dir>", "look for recorded paths below this folder")
    .option("--spack <dir>", "the Spack installation (default: $SPACK_ROOT, else the one on the PATH)");
}
