// Stands in the bundles for cacache, the cache of make-fetch-happen, which is used only if a folder for it is named.
// @sigstore/sign names none, so cacache and what it needs would be a third of a megabyte for nothing.
export {};
