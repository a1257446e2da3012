// Stands in the bundles for make-fetch-happen, by which @sigstore/sign and tuf-js send requests. All requests go over
// the transport of lib/http instead, so it and what it needs would be a megabyte for nothing.
export default function noFetch(): never {
  throw new Error("requests go over lib/http");
}
noFetch.defaults = (): typeof noFetch => noFetch;
