// What the values of arguments and flags are, by the names that help texts give them: completion offers such values.

/** What a value is. Files and folders are completed by the shell, the others by what stave knows. */
export type ValueKind = "cache" | "image" | "tag" | "spec" | "mirror" | "environment" | "file" | "folder" | "none";

const KINDS: Readonly<Record<string, readonly ValueKind[]>> = {
  cache: ["cache"],
  mirror: ["mirror", "cache"],
  place: ["cache"],
  image: ["image"],
  images: ["image"],
  refs: ["image"],
  repo: ["image"],
  base: ["image"],
  src: ["image"],
  dst: ["image"],
  a: ["image"],
  b: ["image"],
  spec: ["spec"],
  specs: ["spec"],
  tag: ["tag"],
  tags: ["tag"],
  dir: ["folder"],
  store: ["folder"],
  file: ["file"],
  files: ["file"],
  keys: ["file"],
  key: ["file"],
  path: ["file"],
};

/** The kinds of the values of an argument or flag: `specs`, `name|dir`, `image-or-specs`, `cache`. */
export function kindsOf(name: string): readonly ValueKind[] {
  if (name === "name|dir") return ["environment", "folder"];
  const found = name.split(/\||-or-/).flatMap((part) => (Object.hasOwn(KINDS, part) ? (KINDS[part] ?? []) : []));
  return found.length === 0 ? ["none"] : [...new Set(found)];
}
