// Plays a trace back: what a registry did wrong while `--trace FILE` was written becomes faults of the test registry,
// at the same requests. So the report of a defect becomes a test.
import { z } from "zod";
import type { Fault, Rule } from "./registry.ts";

/** Of a trace from outside, in characters and lines. */
const LIMITS = { text: 50_000_000, lines: 200_000 };

const eventSchema = z.looseObject({
  method: z.enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
  url: z.url().max(10_000),
  status: z.number().int().min(100).max(599).optional(),
  error: z.string().optional(),
  during: z.literal("body").optional(),
  headers: z.record(z.string(), z.string()).optional(),
});
type Event = z.infer<typeof eventSchema>;

/** Headers that decide what a client does next. */
const KEPT_HEADERS = ["retry-after", "content-type"];

/**
 * The rules for a test registry that has the same repositories. Refusals for want of content (404) or credentials (401)
 * follow from what the registry has, so they are not faults.
 */
export function rulesOf(trace: string): Rule[] {
  const lines = trace.split("\n").filter((line) => line !== "");
  if (trace.length > LIMITS.text || lines.length > LIMITS.lines) throw new Error("the trace is too long");
  const events = lines.map((line) => eventSchema.parse(JSON.parse(line)));
  const seen = new Map<string, { requests: number; faults: number }>();
  const rules: Rule[] = [];
  for (const [at, event] of events.entries()) {
    // The second event of a request whose response broke off.
    if (event.during === "body") continue;
    const path = pathOf(event.url);
    const count = seen.get(`${event.method} ${path}`) ?? { requests: 0, faults: 0 };
    seen.set(`${event.method} ${path}`, count);
    const fault = brokeOff(event, events.slice(at + 1)) ? { truncate: 1 } : faultOf(event);
    // A rule does not see the requests that rules before it have taken.
    if (fault !== undefined)
      rules.push({
        ...{ method: event.method, path: new RegExp(`^${path}(?:\\?|$)`), fault },
        ...{ after: count.requests - count.faults++, times: 1 },
      });
    count.requests++;
  }
  return rules;
}

/** The path as a regular expression; an upload has another address each time. */
function pathOf(url: string): string {
  const path = new URL(url).pathname.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return path.replace(/(\/blobs\/uploads\/)[^/]+$/, "$1[^/?]+");
}

/** Whether the response to a request broke off: the next event of the same address says so. */
function brokeOff({ method, url }: Event, later: readonly Event[]): boolean {
  return later.find((event) => event.method === method && event.url === url)?.during === "body";
}

function faultOf({ status, headers = {} }: Event): Fault | undefined {
  if (status === undefined) return "reset";
  if (status < 400 || status === 401 || status === 404) return undefined;
  const kept = KEPT_HEADERS.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]]));
  return { status, headers: Object.fromEntries(kept) };
}
