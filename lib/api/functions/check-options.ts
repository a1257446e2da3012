// Checks the arguments of library functions: those of a wrong type are refused with USAGE before anything is done.
import { StaveError } from "../../errors.ts";
import { isNear } from "../../util/typo.ts";

/** The type of an option. */
export type Kind =
  | "boolean"
  | "string"
  | "count"
  | "number"
  | "function"
  | "strings"
  | "signal"
  | "name or false"
  | "any";

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): boolean => typeof value === "string" && value !== "";

const FITS: Record<Kind, { readonly says: string; is(value: unknown): boolean }> = {
  boolean: { says: "true or false", is: (value) => typeof value === "boolean" },
  string: { says: "a text", is: isText },
  count: { says: "a whole number", is: (value) => Number.isSafeInteger(value) && Number(value) >= 0 },
  number: { says: "a number, 0 or more", is: (value) => Number.isFinite(value) && Number(value) >= 0 },
  function: { says: "a function", is: (value) => typeof value === "function" },
  strings: { says: "an array of texts", is: (value) => Array.isArray(value) && value.every(isText) },
  signal: { says: "an AbortSignal", is: (value) => value instanceof AbortSignal },
  "name or false": { says: "a text or false", is: (value) => value === false || isText(value) },
  any: { says: "a value", is: () => true },
};

/** An object with these fields, or an array of such objects. */
export interface Fields {
  readonly fields: Readonly<Record<string, Rule>>;
  readonly isArray?: boolean;
  /** None of the fields may be left out. */
  readonly isWhole?: boolean;
}

/** What one option must be: of a kind, one of some words, or an object. */
export type Rule = Kind | readonly string[] | Fields;

/** The options of a function, each with its type or permitted values. */
export type Shape<T> = Readonly<Record<keyof T, Rule>>;

/** Checks the options of a library function. Throws USAGE, naming the option, for an unknown option or a wrong type. */
export function checkOptions<T extends object>(name: string, options: T, shape: Shape<T>): void {
  checkFields({
    owner: name,
    what: `${name}: the options argument`,
    value: options,
    prefix: `${name}: `,
    fields: shape,
  });
}

/** Checks a string argument. Throws USAGE. */
export function checkText(name: string, value: unknown): void {
  if (!FITS.string.is(value)) throw wrong(name, "a text", value);
}

/** Checks an argument that is a text or an open cache. Throws USAGE. */
export function checkCache(name: string, value: unknown): void {
  if (!isText(value) && !(isObject(value) && "cache" in value && isObject(value.cache)))
    throw wrong(name, "a text or what openCache returned", value);
}

interface FieldCheck {
  readonly what: string;
  /** What has the fields, in messages; default: `what`. */
  readonly owner?: string;
  readonly value: unknown;
  /** What the name of a field follows in messages. */
  readonly prefix: string;
  readonly fields: Readonly<Record<string, Rule>>;
  readonly isWhole?: boolean | undefined;
}

function checkFields({ what, owner = what, value, prefix, fields, isWhole }: FieldCheck): void {
  if (!isObject(value)) throw wrong(what, "an object", value);
  const given = new Map(Object.entries(value));
  for (const key of given.keys()) if (!Object.hasOwn(fields, key)) throw unknown(owner, key, Object.keys(fields));
  for (const [key, rule] of Object.entries(fields)) {
    const one: unknown = given.get(key);
    if (one === undefined && !isWhole) continue;
    checkRule(`${prefix}${key}`, one, rule);
  }
}

function checkRule(what: string, value: unknown, rule: Rule): void {
  if (typeof rule === "string") {
    if (!FITS[rule].is(value)) throw wrong(what, FITS[rule].says, value);
  } else if (!("fields" in rule)) {
    if (typeof value !== "string" || !rule.includes(value))
      throw wrong(what, rule.map((one) => JSON.stringify(one)).join(" or "), value);
  } else if (!rule.isArray) checkFields({ ...rule, what, value, prefix: `${what}.` });
  else if (Array.isArray(value))
    for (const [at, one] of value.entries())
      checkFields({ ...rule, what: `${what}[${at}]`, value: one, prefix: `${what}[${at}].` });
  else throw wrong(what, "an array", value);
}

function unknown(what: string, key: string, known: readonly string[]): StaveError {
  const lower = key.toLowerCase();
  const near = known.find((name) => {
    const other = name.toLowerCase();
    return isNear(other, lower) || (lower.length > 3 && (other.startsWith(lower) || other.endsWith(lower)));
  });
  return new StaveError("USAGE", `${what} has no option ${JSON.stringify(key.slice(0, 100))}`, {
    hint: near === undefined ? `it has ${known.join(", ")}` : `did you mean ${near}?`,
  });
}

function wrong(what: string, expected: string, value: unknown): StaveError {
  return new StaveError("USAGE", `${what} is ${shown(value)}, expected ${expected}`);
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 100));
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value).slice(0, 100);
}
