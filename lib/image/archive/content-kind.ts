// What a file of a package is for, by its path and what it is: where the bytes of an image are, and which of them
// running programs do not need.

/** What a file is for. */
export type ContentKind =
  | "programs"
  | "libraries"
  | "scripts"
  | "data"
  | "headers"
  | "static libraries"
  | "build files"
  | "documentation"
  | "tests"
  | "bytecode"
  | "build logs"
  | "metadata";

/** The kinds that only building and reading need: programs start without them. */
export const DISPENSABLE: ReadonlySet<ContentKind> = new Set([
  "headers",
  "static libraries",
  "build files",
  "documentation",
  "tests",
  "bytecode",
  "build logs",
]);

/** What is known of a file. */
export interface ContentFile {
  /** Its path in the image. */
  readonly path: string;
  /** It is a program, a library, or neither. */
  readonly elf: "program" | "library" | undefined;
  readonly isExecutable: boolean;
}

const RULES: readonly (readonly [ContentKind, RegExp])[] = [
  ["build logs", /\/\.spack\/(?:spack-build|spack-configure|archived-files\/)/],
  ["metadata", /\/\.spack\//],
  ["bytecode", /\/__pycache__\/|\.py[co]$/],
  ["headers", /\/include\/|\.(?:h|hh|hpp|hxx|inl|mod)$/],
  ["static libraries", /\.(?:a|la|o)$/],
  ["build files", /\/pkgconfig\/|\/cmake\/|\/aclocal\/|\.(?:pc|cmake|m4)$/],
  ["documentation", /\/share\/(?:doc|info|gtk-doc|help)\/|\/man\/|\/LICEN[CS]E|\/README/],
  ["tests", /\/tests?\//],
];
const SCRIPT = /\.(?:py|pl|pm|rb|lua|r|tcl|sh|jar|js|el|scm)$/i;

/** The kind of a file. */
export function contentKind({ path, elf, isExecutable }: ContentFile): ContentKind {
  for (const [kind, rule] of RULES) if (rule.test(path)) return kind;
  if (elf !== undefined) return elf === "program" ? "programs" : "libraries";
  if (isExecutable || SCRIPT.test(path)) return "scripts";
  return "data";
}
