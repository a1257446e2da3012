// The part of postject that is used here; the package has no types.
declare module "postject" {
  /** Adds a section with these bytes to an executable, and flips the byte that says so. */
  export function inject(
    file: string,
    name: string,
    content: Buffer,
    options: { readonly sentinelFuse: string },
  ): Promise<void>;
}
