// What can be completed of a verb, as data for the scripts of all shells.
import type { Command, Option } from "commander";
import { kindsOf, type ValueKind } from "./value-kinds.ts";

/** What may stand for a value: one of a few words, or something of a kind. */
export type CompletedValue = { readonly choices: readonly string[] } | { readonly kinds: readonly ValueKind[] };

/** A flag; `value` is undefined if it takes none. */
export interface CompletedFlag {
  readonly names: readonly string[];
  readonly description: string;
  readonly value: CompletedValue | undefined;
}

/** A verb. */
export interface CompletedVerb {
  readonly names: readonly string[];
  readonly description: string;
  readonly flags: readonly CompletedFlag[];
  /** The arguments in order. */
  readonly places: readonly CompletedValue[];
  /** The last argument may be repeated. */
  readonly repeats: boolean;
}

/** What can be completed of a command. */
export function completedVerb(verb: Command): CompletedVerb {
  const all = verb.registeredArguments;
  const places = all.map((argument, at): CompletedValue => {
    if (argument.argChoices) return { choices: argument.argChoices };
    // Where one may be left out, the next may stand in its place.
    const next = argument.required ? undefined : all[at + 1];
    return { kinds: [...new Set([argument, ...(next ? [next] : [])].flatMap((each) => kindsOf(each.name())))] };
  });
  return {
    names: [verb.name(), ...verb.aliases()],
    description: verb.description(),
    flags: verb.createHelp().visibleOptions(verb).map(completedFlag),
    places,
    repeats: all.at(-1)?.variadic === true,
  };
}

function completedFlag(option: Option): CompletedFlag {
  const { short, long, description, argChoices } = option;
  const [, name = ""] = /[<[](.*)[\]>]$/.exec(option.flags) ?? [];
  const value = argChoices ? { choices: argChoices } : { kinds: kindsOf(name) };
  return {
    names: [short, long].flatMap((flag) => flag ?? []),
    description,
    // An optional value is joined to its flag with `=`, so the next word is not the value.
    value: option.required ? value : undefined,
  };
}

/** A word in single quotes, for bash and zsh. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A value in one word of a script: `cache,spec`, or `=auto=always` for choices. */
export const valueWord = (value: CompletedValue): string =>
  "choices" in value ? value.choices.map((choice) => `=${choice}`).join("") : value.kinds.join(",");
