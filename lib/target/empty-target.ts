// A place where nothing is yet, for plans of what would be put there.
import { StaveError } from "../errors.ts";
import type { ReadTarget } from "./target.ts";

/** A target that has nothing; `name` is what messages call it. */
export function emptyTarget(name: string): ReadTarget {
  const absent = (): Promise<never> =>
    Promise.reject(new StaveError("NOT_FOUND", `${name} is not there yet`, { subject: name }));
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
