// A target that is only read and answers writes as if they had been done: for the dry run of a copy.
import { StaveError } from "../errors.ts";
import { digestOf } from "../oci/digest.ts";
import type { ReadTarget, Target } from "./target.ts";

/** The target without its writes; `keepsClosure` is that of the target. */
export function dryTarget(target: ReadTarget & { readonly keepsClosure?: boolean }): Target {
  const none = (): Promise<never> =>
    Promise.reject(new StaveError("INTERNAL", `a dry run cannot do this to ${target.name}`, { subject: target.name }));
  return {
    name: target.name,
    mountDomain: target.mountDomain,
    mountName: target.mountName,
    keepsClosure: target.keepsClosure === true,
    fetchBlob: (descriptor, options) => target.fetchBlob(descriptor, options),
    hasBlob: (descriptor, options) => target.hasBlob(descriptor, options),
    headManifest: (reference, options) => target.headManifest(reference, options),
    fetchManifest: (reference, options) => target.fetchManifest(reference, options),
    tags: (options) => target.tags(options),
    referrers: (digest, options) => target.referrers(digest, options),
    pushBlob: async (descriptor, _source, { signal, mountFrom = [] } = {}) => {
      if (await target.hasBlob(descriptor, { signal })) return "present";
      return mountFrom.length > 0 ? "mounted" : "pushed";
    },
    pushManifest: (bytes, mediaType, options) =>
      Promise.resolve({
        descriptor: { mediaType, digest: options?.digest ?? digestOf(bytes), size: bytes.byteLength },
      }),
    pushReferrers: () => Promise.resolve(),
    fetchBlobStart: none,
    pushStream: none,
    deleteManifest: none,
    deleteBlob: none,
    close: () => Promise.resolve(),
  };
}
