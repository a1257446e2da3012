// `stave run`: runs a program of a build cache; installs what is missing into the user's own store.
import { StaveError } from "../../errors.ts";
import { withVariables } from "../../ops/store/env-variables.ts";
import type { RunFlags } from "../arguments/install-to-run.ts";
import { addRun, isPlan, planText, prepareRun } from "../arguments/prepare-run.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { programFor, replaceProcess } from "../machine/replace-process.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Installs the specs from the cache into a store of your own, unless they are there, sets the variables that they need, and becomes
the program: it has the terminal, the signals and the exit status. Spack is not needed. CACHE is
named as for stave install; the image of an environment, CACHE:TAG, stands for its specs.

The second run of the same specs sends no request: --refresh looks for newer ones, --offline never uses the network. The
store is $XDG_DATA_HOME/stave/store (~/.local/share/stave/store), or --store.

Examples:
  stave run oci://ghcr.io/org/cache hdf5 -- h5dump --version
  stave run ghcr.io/org/cache:my-env -- python3 script.py
  stave run oci://ghcr.io/org/cache python py-numpy -- python3 -c 'import numpy'
  stave run -e ./my-env --mirror oci://ghcr.io/org/cache -- bash`;

/** The command `stave run`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("run", "run a program from a build cache, without Spack")
    .argument("[cache]", "the cache, or the image of an environment")
    .argument("[specs...]", "the specs whose programs to use, then -- and the program with its arguments")
    .usage("[options] [cache] [specs...] -- program [arguments...]");
  addRun(command).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], RunFlags>(
    command,
    state,
    async (context, output, flags, first, more) => {
      const given = first === undefined ? [] : [first, ...more];
      const { words, program } = splitProgram(state.words, given);
      const line = state.words.slice(0, state.words.indexOf("--"));
      const prepared = await prepareRun({ context, output, flags, words, line });
      if (isPlan(prepared)) {
        output.print(planText(prepared, `would run ${program.join(" ")}`));
        output.report(prepared);
        return 0;
      }
      const found = programFor(program, withVariables(prepared.modifications, context.env), context);
      output.endProgress();
      return await replaceProcess(found);
    },
  );
};

/** Splits the words at the `--` that commander has removed. Throws USAGE without a program. */
function splitProgram(
  typed: readonly string[],
  given: readonly string[],
): { readonly words: readonly string[]; readonly program: readonly string[] } {
  const at = typed.indexOf("--");
  const program = at < 0 ? [] : typed.slice(at + 1);
  if (program.length === 0)
    throw new StaveError("USAGE", "no program is named", {
      hint: `write -- before the program: stave run ${likely(given)}`,
    });
  return { words: given.slice(0, given.length - program.length), program };
}

// With several words after the cache, the last one is most likely the program.
function likely(given: readonly string[]): string {
  const [first = "", ...rest] = given;
  const isCache = /[/:]/.test(first);
  return rest.length > (isCache ? 1 : 0)
    ? `${given.slice(0, -1).join(" ")} -- ${given.at(-1)}`
    : `${given.join(" ") || "SPEC"} -- PROGRAM`;
}
