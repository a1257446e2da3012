// Text of unknown origin made fit to be shown: secrets are taken out, and what a terminal would obey or not show is escaped.
import { holdsSecret, redact, redactUserInfo } from "./secret.ts";

// Control characters, marks that turn the direction of what follows, line separators, lone surrogates and everything else
// that takes no room on the screen.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}]/gu;
const INVISIBLE_IN_LINES = /[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}]--[\n]]/gv;
// What JSON.stringify leaves as it is.
const INVISIBLE_IN_JSON = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}\p{DI}]/gu;
/** Text without any of these needs no closer look. */
const PLAIN = /^[\x20-\x7e]*$/;
const PLAIN_LINES = /^[\n\x20-\x7e]*$/;

/** The most characters of one thing from outside that a message quotes. */
const LONGEST = 1000;

/**
 * Makes text of unknown origin fit for one line of a message or a terminal, cut at `most` characters: no known secret, and
 * what is invisible is escaped as in JSON (`\n`, `\u202e`). What has been made fit stays as it is when that is done again.
 */
export function printable(text: string, { most = LONGEST }: { most?: number } = {}): string {
  // First of all, so that no cut leaves a part of a secret.
  const safe = redactUserInfo(redact(text));
  const cut = safe.length > most ? `${safe.slice(0, most)}…` : safe;
  return PLAIN.test(cut) ? cut : cut.replace(INVISIBLE, escaped);
}

/** The same for a whole text: its lines stay, and nothing is cut. */
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

/** One JSON document as it leaves the program: without known secrets, what is invisible as JSON's own escapes. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value);
  const safe = holdsSecret(text) ? JSON.stringify(withoutSecrets(JSON.parse(text))) : text;
  return safe.replace(INVISIBLE_IN_JSON, inJson);
}

// As UTF-16 units.
function inJson(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** Plain data with secrets taken out of all its texts, keys too. */
function withoutSecrets(value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutSecrets);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [redact(key), withoutSecrets(part)]));
}
