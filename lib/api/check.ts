// Checks the arguments of library functions: those of a wrong type are refused with USAGE before anything is done.
import { StaveError } from "../errors.ts";

/** The type of an option. */
export type Kind = "boolean" | "string" | "count" | "function" | "object" | "strings" | "list" | "any";

const FITS: Record<Kind, { readonly says: string; is(value: unknown): boolean }> = {
  boolean: { says: "true or false", is: (value) => typeof value === "boolean" },
  string: { says: "a text", is: (value) => typeof value === "string" && value !== "" },
  count: { says: "a whole number", is: (value) => Number.isSafeInteger(value) && Number(value) >= 0 },
  function: { says: "a function", is: (value) => typeof value === "function" },
  object: { says: "an object", is: (value) => typeof value === "object" && value !== null && !Array.isArray(value) },
  strings: {
    says: "an array of texts",
    is: (value) => Array.isArray(value) && value.every((one) => typeof one === "string" && one !== ""),
  },
  list: { says: "an array", is: Array.isArray },
  any: { says: "a value", is: () => true },
};

/** The options of a function, each with its type or permitted values. */
export type Shape<T> = Readonly<Record<keyof T, Kind | readonly string[]>>;

/** Checks the options of a library function. Throws USAGE, naming the option, for an unknown option or a wrong type. */
export function checkOptions<T extends object>(name: string, options: T, shape: Shape<T>): void {
  if (!FITS.object.is(options)) throw wrong(`${name}: the options`, "an object", options);
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(shape, key))
      throw new StaveError("USAGE", `${name}: there is no option ${JSON.stringify(key.slice(0, 100))}`, {
        hint: `it has ${Object.keys(shape).join(", ")}`,
      });
    const kind: Kind | readonly string[] = shape[key as keyof T];
    if (value === undefined) continue;
    if (typeof kind === "string") {
      if (!FITS[kind].is(value)) throw wrong(`${name}: ${key}`, FITS[kind].says, value);
    } else if (!kind.includes(String(value)) || typeof value !== "string")
      throw wrong(`${name}: ${key}`, kind.map((one) => JSON.stringify(one)).join(" or "), value);
  }
}

/** Checks a string argument. Throws USAGE. */
export function checkText(name: string, value: unknown): void {
  if (!FITS.string.is(value)) throw wrong(name, "a text", value);
}

function wrong(what: string, expected: string, value: unknown): StaveError {
  const shown =
    typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : `${value === null ? null : typeof value}`;
  return new StaveError("USAGE", `${what} is ${shown}, expected ${expected}`);
}
