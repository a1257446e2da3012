// Reads an external's environment modifications: `extra_attributes: environment:` of its spec (Spack
// `schema/environment.py`).
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { SpecNode } from "../spec/node.ts";
import { shortName } from "../spec/node-reader.ts";
import { isObject, keysOf } from "../text/json.ts";
import type { JsonValue } from "../text/json-value.ts";
import type { EnvModification } from "./env-modifications.ts";

const PATH_OPS = { prepend_path: "prepend-path", append_path: "append-path", remove_path: "remove-path" } as const;

/** The modifications of one external, in written order; none for other nodes. Throws SPEC_INVALID. */
export function externalModifications(node: SpecNode): EnvModification[] {
  const attributes = node.external?.extraAttributes;
  const environment = attributes && Object.hasOwn(attributes, "environment") ? attributes["environment"] : undefined;
  if (environment === undefined || environment === null) return [];
  if (!isObject(environment)) throw wrong(node, "environment", "a mapping");
  return keysOf(environment).flatMap((command): EnvModification[] => {
    const value = environment[command];
    if (command === "unset") {
      const names = Array.isArray(value) ? value : [];
      return names.map((name) => ({ op: "unset", name: textOf(node, command, name) }));
    }
    if (command !== "set" && !isPathOp(command))
      throw wrong(node, `environment:${printable(command)}`, "set, unset or a path");
    if (!isObject(value)) throw wrong(node, `environment:${command}`, "a mapping of variables");
    return keysOf(value).map((name): EnvModification => {
      const text = textOf(node, `${command}:${printable(name)}`, value[name]);
      return command === "set"
        ? { op: "set", name, value: text }
        : { op: PATH_OPS[command], name, value: text, separator: ":" };
    });
  });
}

const isPathOp = (command: string): command is keyof typeof PATH_OPS => Object.hasOwn(PATH_OPS, command);

function textOf(node: SpecNode, what: string, value: JsonValue | undefined): string {
  if (typeof value === "string" && !value.includes("\0")) return value;
  if (typeof value === "number") return String(value);
  throw wrong(node, `environment:${what}`, "text");
}

function wrong(node: SpecNode, key: string, expected: string): StaveError {
  return new StaveError(
    "SPEC_INVALID",
    `the external ${shortName(node)} has an invalid extra attribute ${key}, expected ${expected}`,
    {
      subject: node.hash,
      hint: "correct it in packages.yaml and concretize again",
    },
  );
}
