// `stave doctor`: shows what stave finds on this machine and at a cache, and what to do about it.

import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { diagnoseMachine, diagnosePlace, type Finding } from "../../api/functions/diagnose.ts";
import { cacheLocation } from "../../api/places/cache-choice.ts";
import { formatCache, isMirror } from "../../api/places/mirror-location.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { messageOf, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { CACHE_ARGUMENT, readCache } from "../arguments/cache-location.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, addTrust, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { inFlags } from "../output/option-flags.ts";
import type { Output } from "../output/output.ts";
import { padText, textWidth, wrapText } from "../output/text-width.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, TrustOptions {
  write?: boolean;
}

/** The report of `doctor`. */
interface DoctorReport {
  /** The cache that was examined, as it can be typed; undefined if none was named. */
  readonly cache?: string | undefined;
  readonly findings: readonly Finding[];
  /** How many findings keep something from working. */
  readonly problems: number;
}

const HELP = `
Without CACHE, looks at this machine only. CACHE is
${CACHE_ARGUMENT}.

A registry is asked what it can do; nothing is assumed by its name. --write also asks what can only be found out by writing: it sends
a few bytes and, if manifests can be deleted, a tag, and removes them again. Each kind of question is given up after 15 seconds.
Credentials are never shown, only where they come from.

Ends with 1 if something will not work, and with 0 otherwise.

Examples:
  stave doctor
  stave doctor ghcr.io/org/cache
  stave doctor oci://registry.example.org/org/cache --write --json`;

/** The command `stave doctor`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("doctor", "check this machine and a cache, and say what to do")
    .argument("[cache]", "the cache to examine")
    .option("--write", "also ask the registry what can only be found out by writing to it");
  addSpack(addTransport(addTrust(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined], Flags>(command, state, async (context, output, flags, cache) => {
    if (flags.write && cache === undefined)
      throw new StaveError("USAGE", "--write needs a cache", { hint: "stave doctor CACHE --write" });
    const named =
      cache === undefined ? undefined : cacheLocation(cache, "push", context, () => new SpackFiles(context, flags));
    const findings = await diagnoseMachine(context, flags);
    if (named !== undefined) findings.push(...(await examine(context, output, flags, named.location, cache)));
    for (const [at, { hint, ...rest }] of findings.entries())
      if (hint !== undefined) findings[at] = { ...rest, hint: inFlags(hint) };
    for (const line of render(findings, output)) output.print(line);
    const problems = findings.filter(({ level }) => level === "problem").length;
    const report: DoctorReport = { ...(named && { cache: formatCache(named.location) }), findings, problems };
    output.report(report);
    return problems > 0 ? 1 : 0;
  });
};

async function examine(
  context: Context,
  output: Output,
  flags: Flags,
  location: ReturnType<typeof cacheLocation>["location"],
  text: string | undefined,
): Promise<Finding[]> {
  const base = { topic: "registry", name: "cache" } as const;
  try {
    if (isMirror(location)) {
      if (flags.write) throw new StaveError("USAGE", "--write is for registries", { hint: "leave it out" });
      await using opened = await readCache(text, { context, output, flags });
      const index = await opened.cache.readIndex({ signal: context.signal });
      const says = index === undefined ? "has no index" : "has an index";
      return [{ ...base, level: "ok", text: `${formatCache(location)} ${says}` }];
    }
    // One more attempt than none: a question that fails for long is an answer.
    await using connection = await openNetwork({
      context,
      output,
      flags: { ...flags, retries: 1 },
      places: [location],
    });
    return await diagnosePlace(context, { location, connection, options: flags, write: flags.write ?? false });
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof StaveError && error.exitCode === 2) throw error;
    const hint = error instanceof StaveError ? error.hint : undefined;
    return [{ ...base, level: "problem", text: messageOf(error), ...(hint !== undefined && { hint }) }];
  }
}

const WORDS = { ok: "ok", note: "note", problem: "PROBLEM" } as const;

function* render(findings: readonly Finding[], output: Output): Iterable<string> {
  for (const [topic, all] of Map.groupBy(findings, (finding) => finding.topic)) {
    yield output.style("bold", topic);
    for (const { name, level, text, hint } of all) {
      const head = `  ${WORDS[level].padEnd(8)}${padText(printable(name), TEXT - 11)} `;
      const lines = aside(printable(text), output.columns);
      const isBeside = output.columns === undefined || (!isNarrow(output.columns) && textWidth(head) === TEXT);
      yield isBeside ? head + lines.shift()?.trimStart() : head.trimEnd();
      yield* lines;
      if (hint !== undefined)
        for (const line of aside(`-> ${printable(hint)}`, output.columns)) yield output.style("dim", line);
    }
  }
}

// Where texts begin, and below the name on a terminal that leaves too little room beside it.
const TEXT = 26;
const BELOW = 4;
const NARROW = 60;
const isNarrow = (columns: number | undefined): boolean => columns !== undefined && columns < NARROW;

function aside(text: string, columns: number | undefined): string[] {
  const indent = isNarrow(columns) ? BELOW : TEXT;
  const lines = columns === undefined ? [text] : wrapText(text, Math.max(1, columns - indent));
  return lines.map((line) => " ".repeat(indent) + line);
}
