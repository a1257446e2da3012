// Completes commands in hints with the arguments of this call (the store, the cache and the network flags), so that
// they can be typed as they stand.
import type { Command } from "commander";

/** The arguments of a call that commands in its hints need. */
export interface CallWords {
  /** The flags that locate Spack's files, as typed. */
  readonly spack: readonly string[];
  /** The flags of the network. */
  readonly network: readonly string[];
  /** The named cache. */
  cache?: string | undefined;
}

const SPACK = ["store", "env", "scope", "config", "sysroot", "spack"];
const NETWORK = ["plainHttp", "cacert", "cert", "keyFile", "insecureTls", "authfile"];

/** How each verb takes a cache: as its first argument, or with a flag. */
const CACHE_PLACE: Readonly<Record<string, "argument" | "--mirror" | "--mirror-url">> = {
  list: "argument",
  index: "argument",
  prune: "argument",
  check: "--mirror-url",
  download: "--mirror",
  "why-miss": "--mirror",
};
const WITH_SPACK = new Set([
  ...["push", "install", "list", "check", "index", "why-miss", "download", "diff", "prune", "find", "spec", "preview"],
  ...["name", "save-specfile", "env", "view", "verify", "uninstall", "gc", "module", "config", "sign", "trust"],
]);
const WITH_NETWORK = new Set([
  ...["push", "install", "list", "check", "index", "why-miss", "download", "diff", "prune"],
  ...["copy", "tags", "inspect", "login", "sign", "verify", "trust"],
]);

/** The words of a call, from its parsed command. */
export function callWords(command: Command): CallWords {
  const typed = (names: readonly string[]): string[] =>
    command.options.flatMap((option) => {
      const name = option.attributeName();
      if (!names.includes(name) || command.getOptionValueSource(name) !== "cli") return [];
      const value: unknown = command.opts()[name];
      // `--no-env` is an option separate from `--env`.
      if (option.negate) return value === false ? [option.long ?? ""] : [];
      if (value === true) return [option.long ?? ""];
      const values: unknown[] = Array.isArray(value) ? value : [value];
      return values.flatMap((each) => (typeof each === "string" ? [option.long ?? "", each] : []));
    });
  return { spack: typed(SPACK), network: typed(NETWORK) };
}

// A command in backquotes, or at the end of a hint that is only a command.
const COMMAND = /`stave ([a-z-]+)((?: [^`]*)?)`|(?<=^|: )stave ([a-z-]+)( [^`]*)?$/g;

/** Adds to the commands in a hint the words of the call that they lack. */
export function typeable(hint: string, call: CallWords): string {
  return hint.replace(COMMAND, (text, quoted?: string, rest?: string, bare?: string, bareRest?: string) => {
    const verb = quoted ?? bare ?? "";
    const given = (quoted === undefined ? bareRest : rest)?.trim() ?? "";
    const words = [given, ...cacheWords(verb, given, call)];
    if (WITH_SPACK.has(verb)) words.push(...call.spack.map(shellWord));
    if (WITH_NETWORK.has(verb)) words.push(...call.network.map(shellWord));
    const whole = ["stave", verb, ...words].filter((word) => word !== "").join(" ");
    return text.startsWith("`") ? `\`${whole}\`` : whole;
  });
}

function cacheWords(verb: string, given: string, { cache }: CallWords): string[] {
  const place = CACHE_PLACE[verb];
  if (cache === undefined || place === undefined || /(?:^|\s)(?:oci|\.|\/\S*\/)|-m\b|--mirror/.test(given)) return [];
  return place === "argument" ? [shellWord(cache)] : [place, shellWord(cache)];
}

/** Quotes a word for a shell. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
