// Makes untrusted text safe to display: removes secrets and escapes characters that a terminal would obey or not show.
import { holdsSecret, redact, redactUserInfo } from "./secret.ts";

// Control characters, marks that change text direction, line separators, lone surrogates and all other characters
// without width.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}]/gu;
const INVISIBLE_IN_LINES = /[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}]--[\n]]/gv;
// What JSON.stringify does not escape.
const INVISIBLE_IN_JSON = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}\p{DI}]/gu;
/** The fast path: such text needs no escaping. */
const PLAIN = /^[\x20-\x7e]*$/;
const PLAIN_LINES = /^[\n\x20-\x7e]*$/;

/** Maximum number of characters of one untrusted value that a message quotes. */
const LONGEST = 1000;

/**
 * Makes untrusted text fit for one line of a message or a terminal, cut after `most` characters: known secrets are
 * masked, invisible characters are escaped as in JSON (`\n`, `\u202e`). Applying it twice changes nothing more.
 */
export function printable(text: string, { most = LONGEST }: { most?: number } = {}): string {
  // Before the cut, so that no part of a secret remains.
  const safe = redactUserInfo(redact(text));
  const cut = safe.length > most ? `${safe.slice(0, most)}…` : safe;
  return PLAIN.test(cut) ? cut : cut.replace(INVISIBLE, escaped);
}

/** As `printable`, for text of several lines: line breaks stay, and nothing is cut. */
export function printableLines(text: string): string {
  const safe = redactUserInfo(redact(text));
  return PLAIN_LINES.test(safe) ? safe : safe.replace(INVISIBLE_IN_LINES, escaped);
}

const SHORT = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

function escaped(character: string): string {
  return SHORT.get(character) ?? inJson(character);
}

/**
 * A value as one JSON document for output: known secrets masked, invisible characters escaped. `replacer` is that of
 * JSON.stringify.
 */
export function jsonText(value: unknown, replacer?: (key: string, value: unknown) => unknown): string {
  const text = JSON.stringify(value, replacer);
  const safe = holdsSecret(text) ? JSON.stringify(withoutSecrets(JSON.parse(text))) : text;
  return withoutCommands(safe.replace(INVISIBLE_IN_JSON, inJson));
}

/** A JSON document in which the runner of GitHub Actions finds no command: it obeys `##[NAME]` anywhere in a line. */
export function withoutCommands(json: string): string {
  return json.replaceAll("##[", "##\\u005b");
}

// By UTF-16 code unit.
function inJson(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** Plain data with the secrets in all its strings and keys masked. */
function withoutSecrets(value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutSecrets);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [redact(key), withoutSecrets(part)]));
}
