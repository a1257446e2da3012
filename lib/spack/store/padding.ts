// Padded install roots: placeholder folders lengthen a root so that binaries can later move to a longer path (Spack
// `util/path.py`, add_padding).

const PLACEHOLDER = "__spack_path_placeholder__";

/**
 * The length that `padded_length: true` means: PATH_MAX minus the 300 characters that Spack reserves for paths below.
 */
export function systemPadding(platform: string): number {
  return (platform === "darwin" ? 1024 : 4096) - 300;
}

/** The root padded to `length` characters; unchanged if it already has that length or is one character short. */
export function paddedRoot(root: string, length: number): string {
  const missing = length - root.length - 1;
  if (missing <= 0) return root;
  const unit = PLACEHOLDER.length + 1;
  const padding = `${PLACEHOLDER}/`.repeat(Math.floor(missing / unit)) + PLACEHOLDER.slice(0, missing % unit);
  return `${root}/${padding.endsWith("/") ? `${padding.slice(0, -1)}_` : padding}`;
}

/** The root without its padding. The last folder counts as padding only if it cannot be a real name. */
export function unpaddedRoot(root: string): string {
  const folders = root.split("/");
  let end = folders.length;
  const last = folders[end - 1] ?? "";
  const isPart = PLACEHOLDER.startsWith(last) || PLACEHOLDER.startsWith(last.slice(0, -1));
  if (isPart && (last.startsWith("__spack_path_") || folders[end - 2] === PLACEHOLDER)) end--;
  while (folders[end - 1] === PLACEHOLDER) end--;
  return folders.slice(0, end).join("/");
}
