// A target without content, for planning a push to a place that does not exist yet.
import { StaveError } from "../errors.ts";
import type { ReadTarget } from "./target.ts";

/** A target without content; `name` is its name in messages. */
export function emptyTarget(name: string): ReadTarget {
  const absent = (): Promise<never> =>
    Promise.reject(new StaveError("NOT_FOUND", `${name} does not exist yet`, { subject: name }));
  return {
    name,
    fetchBlob: absent,
    hasBlob: () => Promise.resolve(false),
    headManifest: () => Promise.resolve(undefined),
    fetchManifest: absent,
    async *tags() {},
    referrers: () => Promise.resolve([]),
  };
}
