// `stave tags`: lists the tags of a repository or directory, or the repositories of a registry.
import { StaveError } from "../../errors.ts";
import { formatLocation, parseLocation, registryAlone } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { listRepositories } from "../../target/registry/repository-list.ts";
import { matchesGlob } from "../../util/glob.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import type { Context } from "../machine/context.ts";
import { KnownWords } from "../machine/known-words.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  match?: string;
}

/** The report of `tags`: the tags of a repository, or the repositories of a registry. */
interface TagsReport {
  readonly name: string;
  readonly tags?: readonly string[];
  readonly repositories?: readonly string[];
}

const HELP = `
Prints one tag per line, sorted. Of a host alone, prints its repositories if the registry lists them; many do not.

Examples:
  stave tags ghcr.io/org/cache
  stave tags ghcr.io/org/cache --match 'app-*'
  stave tags oci-layout:./stave-cache --json
  stave ls localhost:5000`;

/** The command `stave tags`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("tags", "list the tags of a repository, or the repositories of a registry")
    .argument("<repo>", "the repository or directory, or a host")
    .option("--match <glob>", "only names that match: * within one part of a name, ** across parts");
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const report = await list(context, output, flags, text);
    for (const name of report.tags ?? report.repositories ?? []) output.print(printable(name));
    output.report(report);
    return 0;
  });
};

async function list(context: Context, output: Output, flags: Flags, text: string): Promise<TagsReport> {
  const { signal, clock } = context;
  const chosen = async (names: AsyncIterable<string>): Promise<string[]> =>
    (await Array.fromAsync(names)).filter((name) => flags.match === undefined || matchesGlob(flags.match, name)).sort();
  const host = registryAlone(text);
  if (host !== undefined) {
    await using opener = await openNetwork({ context, output, flags, places: [{ kind: "registry" }] });
    const { transport, authorizer } = opener;
    const repositories = await chosen(listRepositories({ transport, authorizer, clock, ...host }, { signal }));
    return { name: host.registry, repositories };
  }
  const location = parseLocation(text);
  const { tag, digest } = location.kind === "layout" ? location : location.reference;
  if (tag !== undefined || digest !== undefined)
    throw new StaveError("USAGE", `expected a repository, not one image: ${formatLocation(location)}`, {
      hint: "leave the tag out, or use `stave inspect` for one image",
    });
  await using opener = await openNetwork({ context, output, flags, places: [location] });
  const target = await opener.read(location);
  const tags = await chosen(target.tags({ signal }));
  if (flags.match === undefined) new KnownWords(context).noteTags(text, tags);
  return { name: target.name, tags };
}
