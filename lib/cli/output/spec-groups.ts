// Formats lists of specs as Spack does (`cmd/common/arguments.py`, `cmd/__init__.py`, display_specs).
import type { Command } from "commander";
import type { SignatureMark } from "../../api/signers/check-place.ts";
import { StaveError } from "../../errors.ts";
import type { SpecRow } from "../../ops/store/spec-row.ts";
import { printable } from "../../printable/printable.ts";
import type { Output, OutputOptions } from "./output.ts";
import { textWidth } from "./text-width.ts";

/** The flags that select what is shown of each spec. */
export interface ListFlags {
  long?: boolean;
  veryLong?: boolean;
  variants?: boolean;
  namespaces?: boolean;
  paths?: boolean;
  format?: string;
  hashes?: boolean;
  groups: boolean;
}

/** The format string of the flags; undefined if none is given. Throws USAGE for two kinds of output. */
export function formatOf({ format, hashes, json }: ListFlags & OutputOptions): string | undefined {
  if ([format !== undefined, hashes, json].filter(Boolean).length > 1)
    throw new StaveError("USAGE", "--format, --hashes and --json exclude each other", {
      hint: "leave out all but one",
    });
  return hashes ? "{/hash}" : format;
}

/** Which specs, by why they are there. */
export interface RootFlags {
  explicit?: boolean;
  implicit?: boolean;
}

/** What `-p`, `-x` and `-X` mean, which differs between a store and a cache. */
export interface RootTexts {
  readonly paths: string;
  readonly explicit: string;
  readonly implicit: string;
}

/** True for explicit specs only, false for the others only. Throws USAGE for both. */
export function wantedRoots({ explicit, implicit }: RootFlags): boolean | undefined {
  if (explicit && implicit)
    throw new StaveError("USAGE", "--explicit and --implicit exclude each other", { hint: "leave out one of them" });
  return explicit ?? (implicit ? false : undefined);
}

/** Adds the list flags. As in Spack, `-v` is `--variants` here. */
export function addList(command: Command, texts: RootTexts): Command {
  return command
    .option("-p, --paths", texts.paths)
    .option("-x, --explicit", texts.explicit)
    .option("-X, --implicit", texts.implicit)
    .option("-l, --long", "show the first 7 characters of hashes")
    .option("-L, --very-long", "show whole hashes")
    .option("-v, --variants", "show variants and flags")
    .option("-N, --namespaces", "show namespaces")
    .option("--no-groups", "do not group specs by architecture and compiler")
    .option("--format <format>", "one line per spec in this format, for example '{name}@{version}/{hash:7}'")
    .option("-H, --hashes", "the same as --format {/hash}");
}

/** The lines below a spec, by its hash. */
export type Tree = (
  hash: string,
) => readonly { node: { name: string; version: string; hash: string }; depth: number }[];

/** Groups by architecture and compiler, each under its rule, as `spack find` does. */
export function* specGroups(
  specs: readonly MarkedRow[],
  flags: ListFlags,
  output: Output,
  tree: Tree = () => [],
): Iterable<string> {
  const groups = Map.groupBy(specs, ({ architecture = "", compiler }) =>
    architecture === "" || !flags.groups
      ? ""
      : `${architecture} / ${compiler === undefined ? "no compilers" : `%${compiler}`}`,
  );
  const width = output.columns ?? 80;
  for (const [heading, members] of [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const title = `-- ${heading} `;
    if (heading !== "") yield output.style("bold", title.padEnd(Math.min(width, 79), "-"));
    const lengths = flags.paths ? members.map((spec) => textWidth(row(spec, flags, output).plain)) : [];
    const widest = lengths.reduce((most, length) => Math.max(most, length), 0);
    for (const spec of members) {
      const { text, plain } = row(spec, flags, output);
      yield flags.paths ? `${text}${" ".repeat(widest + 2 - textWidth(plain))}${printable(spec.prefix ?? "")}` : text;
      for (const { node, depth } of tree(spec.hash))
        yield `${" ".repeat(flags.long || flags.veryLong ? 8 : 0)}${"    ".repeat(depth)}${node.name}@${node.version}`;
    }
    yield "";
  }
}

/** A spec, with the mark of its signature if it was asked for. */
export type MarkedRow = SpecRow & {
  readonly signature?: SignatureMark | undefined;
  /** Its prefix in a store, its name in a cache. */
  readonly prefix?: string | null;
};

function markText({ signature }: MarkedRow, style: (color: "red" | "dim", text: string) => string): string {
  if (signature === undefined) return "";
  if ("code" in signature) return ` ${style("red", `[${signature.code}]`)}`;
  return ` ${style("dim", printable(`[signed by ${signature.signer}]`))}`;
}

// Also without colours, for its width.
function row(spec: MarkedRow, flags: ListFlags, output: Output): { readonly text: string; readonly plain: string } {
  const short = flags.long ? spec.hash.slice(0, 7) : "";
  const hash = flags.veryLong ? spec.hash : short;
  const name = flags.namespaces && spec.namespace ? `${spec.namespace}.${spec.name}` : spec.name;
  const variants = flags.variants && spec.variants !== "" ? ` ${spec.variants}` : "";
  const shown = printable(`${name}@${spec.version}${variants}`);
  const mark = markText(spec, (style, text) => output.style(style, text));
  const plain = shown + markText(spec, (_style, text) => text);
  if (hash === "") return { text: `${shown}${mark}`, plain };
  return { text: `${output.style("dim", hash)} ${shown}${mark}`, plain: `${hash} ${plain}` };
}
