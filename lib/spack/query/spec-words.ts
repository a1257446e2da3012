// Joins the words of a command line into spec texts as Spack does (`cmd/__init__.py`, parse_specs): `hdf5 ^mpi` is one
// spec, `hdf5 zlib` are two.

/** The content of SPEC arguments: spec text, or the path of a spec file that spec text cannot express. */
export type SpecWords = { readonly text: string } | { readonly file: string };

/**
 * Joins the words of a command line. The shell has removed the quotes of `cflags="-O2 -g"`, so values after `key=` are
 * quoted again. The path of a spec file stays separate.
 */
export function joinWords(words: readonly string[]): SpecWords[] {
  const joined: SpecWords[] = [];
  let run: string[] = [];
  const flush = (): void => {
    if (run.length > 0) joined.push({ text: run.join(" ") });
    run = [];
  };
  for (const word of words) {
    if (isSpecFile(word)) {
      flush();
      joined.push({ file: word });
    } else run.push(quoteValue(word));
  }
  flush();
  return joined;
}

/** True if a word is the path of a spec file: `^./x.json` is a dependency, `x.json` a file. */
export function isSpecFile(word: string): boolean {
  return /^(?:[./].*|[^^%=\s]*)\.json$/s.test(word);
}

const PAIR = /^([a-zA-Z_0-9][a-zA-Z_0-9\-.]*)(:?==?)(.*)$/s;
const BARE = /^[a-zA-Z0-9,/_.\-[\]]+$/;

function quoteValue(word: string): string {
  const [, key, sign, value = ""] = PAIR.exec(word) ?? [];
  if (key === undefined || BARE.test(value)) return word;
  // A value that contains quotes is escaped as JSON.
  return `${key}${sign}${value.includes("'") ? JSON.stringify(value) : `'${value}'`}`;
}
