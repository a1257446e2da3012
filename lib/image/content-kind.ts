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
  /** Its path below the prefix, with a slash in front. */
  readonly path: string;
  /** It is a program, a library, or neither. */
  readonly elf: "program" | "library" | undefined;
  readonly isExecutable: boolean;
}

const RULES: readonly (readonly [ContentKind, RegExp])[] = [
  ["build logs", /\/\.spack\/(?:spack-build|spack-configure|archived-files\/)/],
  ["metadata", /\/\.spack\//],
  // Bytecode elsewhere has no source beside it.
  ["bytecode", /\/__pycache__\//],
  // C++ has headers without a suffix.
  ["headers", /\/include\/(?:.*\/)?[^/.]+$|\.(?:h|hh|hpp|hxx|h\+\+|inl|ipp|tcc|tpp|cuh|mod)$/],
  ["static libraries", /\.(?:a|la|o)$/],
  ["build files", /\.(?:pc|cmake|m4)$|\/aclocal\//],
  ["documentation", /\/share\/(?:doc|info|gtk-doc|help)\/|\/man\/(?:[^/]+\/)?man\w+\//],
  // Of Python's packages only what looks like a test: some import the rest of their tests folder.
  [
    "tests",
    /\/lib\/python\d\.\d+\/(?:test|idlelib\/idle_test)\/|\/tests\/(?:.*\/)?(?:test_[^/]*|[^/]*_test\.py|data\/.*|baseline_images\/.*)$|^(?!.*\/site-packages\/).*\/tests\//,
  ],
];
const SCRIPT = /\.(?:py|pl|pm|rb|lua|r|tcl|sh|jar|js|el|scm)$/i;

/** The rules for the kinds that a slim image is without: a file has the first kind whose pattern fits its path. */
export function dispensableRules(): { kind: ContentKind; pattern: string }[] {
  return RULES.flatMap(([kind, { source }]) => (DISPENSABLE.has(kind) ? [{ kind, pattern: source }] : []));
}

/** The kind of a file. */
export function contentKind({ path, elf, isExecutable }: ContentFile): ContentKind {
  for (const [kind, rule] of RULES) if (rule.test(path)) return kind;
  if (elf !== undefined) return elf === "program" ? "programs" : "libraries";
  if (isExecutable || SCRIPT.test(path)) return "scripts";
  return "data";
}
