// Parses WWW-Authenticate, the challenges of a 401 (RFC 9110, 11.6.1), in one pass.
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";
import { redactQueries } from "../printable/secret.ts";

/** One challenge: scheme and parameter names in lower case. */
export interface Challenge {
  scheme: string;
  parameters: ReadonlyMap<string, string>;
}

const HEADER_LIMIT = 16 * 1024;
const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const QUOTED = /"(?:[^"\\]|\\.)*"/y;

/**
 * Parses one header, which may hold several challenges. No registry uses token68, so it is an error like any other
 * malformed input. Throws CONTENT_INVALID.
 */
export function parseChallenges(header: string): Challenge[] {
  const bad = (): StaveError =>
    new StaveError(
      "CONTENT_INVALID",
      `the registry's challenge is malformed: "${printable(redactQueries(header), { most: 200 })}"`,
    );
  if (header.length > HEADER_LIMIT) throw bad();
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(header)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const space = /[ \t]+/y;
  for (;;) {
    while (take(/[ \t]*,[ \t]*/y) !== undefined);
    take(space);
    if (at >= header.length) break;
    const name = take(TOKEN);
    if (name === undefined) throw bad();
    const current = challenges.at(-1);
    if (current !== undefined && take(/[ \t]*=[ \t]*/y) !== undefined) {
      current.parameters.set(name.toLowerCase(), takeValue(take, bad));
    } else {
      // A scheme: alone, or followed by spaces and its first parameter.
      const parameters = new Map<string, string>();
      challenges.push({ scheme: name.toLowerCase(), parameters });
      if (take(space) !== undefined && header[at] !== "," && at < header.length) {
        const first = take(TOKEN);
        if (first === undefined || take(/[ \t]*=[ \t]*/y) === undefined) throw bad();
        parameters.set(first.toLowerCase(), takeValue(take, bad));
      }
    }
    take(space);
    if (at < header.length && header[at] !== ",") throw bad();
  }
  if (challenges.length === 0) throw bad();
  return challenges;
}

function takeValue(take: (pattern: RegExp) => string | undefined, bad: () => StaveError): string {
  const quoted = take(QUOTED);
  if (quoted !== undefined) return quoted.slice(1, -1).replace(/\\(.)/g, "$1");
  const token = take(TOKEN);
  if (token === undefined) throw bad();
  return token;
}
