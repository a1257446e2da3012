// A failure as lines of text: the sentence and its code, what the registry said, the failures inside it, the next step.
import type { styleText } from "node:util";
import type { StaveError } from "../../errors.ts";
import { workflowCommand } from "./workflow-command.ts";

/** How a failure is shown. */
export interface FailureStyle {
  readonly paint: (style: Parameters<typeof styleText>[0], text: string) => string;
  /** True in a workflow of GitHub Actions, where causes are annotations instead of lines. */
  readonly isWorkflow: boolean;
  /** Words a hint for the command line. */
  readonly hint: (text: string) => string;
}

/** How many failures inside a failure are shown. */
const MAX_SHOWN = 20;
/** How many inside those. */
const MAX_INNER = 3;
/** How many annotations of errors GitHub keeps of one step; the others are lines, which nothing drops. */
const ANNOTATIONS = 10;

/** The lines of a failure. A hint that several failures share is shown once. */
export function describeFailure(error: StaveError, style: FailureStyle): string[] {
  const annotated = style.isWorkflow ? annotations(error) : new Set<StaveError>();
  return described(error, style, { depth: 0, told: new Set(), annotated });
}

const shownInside = ({ errors = [] }: StaveError, depth: number): readonly StaveError[] =>
  errors.slice(0, depth === 0 ? MAX_SHOWN : MAX_INNER);

/** The failures that become annotations: one of each kind, then the first of the others, as many as there may be. */
function annotations(error: StaveError): ReadonlySet<StaveError> {
  const leaves = (one: StaveError, depth: number): StaveError[] => {
    const inner = shownInside(one, depth);
    return inner.length === 0 ? [one] : inner.flatMap((each) => leaves(each, depth + 1));
  };
  const all = leaves(error, 0);
  const firsts = all.filter((one, at) => all.findIndex(({ code }) => code === one.code) === at);
  return new Set([...new Set([...firsts, ...all])].slice(0, ANNOTATIONS));
}

interface Telling {
  readonly depth: number;
  /** The hints that were shown. */
  readonly told: Set<string>;
  readonly annotated: ReadonlySet<StaveError>;
}

function described(error: StaveError, style: FailureStyle, { depth, told, annotated }: Telling): string[] {
  const { paint } = style;
  const indent = "  ".repeat(depth);
  const side = error.side === undefined ? "" : ` (${error.side})`;
  const message = `${error.message}${side}`;
  // The runner shows an annotation in the log, too.
  const lines = [
    annotated.has(error)
      ? workflowCommand("error", `${message} [${error.code}]`)
      : `${indent}${paint(["red", "bold"], "error:")} ${message.replaceAll("\n", "\\n")} ${paint("dim", `[${error.code}]`)}`,
  ];
  for (const entry of error.registry ?? [])
    lines.push(`${indent}  the registry says: ${entry.code}${entry.message ? `: ${entry.message}` : ""}`);
  if ((error.attempts ?? 1) > 1) lines.push(`${indent}  tried ${error.attempts} times`);
  const inside = shownInside(error, depth);
  for (const part of inside) lines.push(...described(part, style, { depth: depth + 1, told, annotated }));
  const more = (error.errors?.length ?? 0) - inside.length;
  if (more > 0) lines.push(`${indent}  … and ${more} more; --json lists them all`);
  if (error.hint !== undefined && !told.has(error.hint)) {
    told.add(error.hint);
    // A hint of several lines shows a position in text, so its lines must stay aligned.
    const [first = "", ...rest] = style.hint(error.hint).split("\n");
    if (rest.length === 0) lines.push(`${indent}  ${paint("cyan", "hint:")} ${first}`);
    else lines.push(...[first, ...rest].map((text) => `${indent}    ${text}`));
  }
  return lines;
}
