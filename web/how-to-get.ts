// What to type to get a spec, with stave, Spack and podman.
import { type CacheAddress, IN_CACHE, type SpecDetails } from "../lib/catalogue/catalogue-data.ts";

/** The commands of one program, or why it has none. */
export interface Recipe {
  readonly program: string;
  readonly lines: readonly string[];
  readonly note?: string | undefined;
}

/** A word of a shell. */
const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The address of the cache for the reader of a page at `base`. */
export function addressText(address: CacheAddress, base: URL): string {
  if (address.kind !== "served") return address.text;
  return `${base.protocol === "https:" ? "oci" : "oci+http"}://${base.host}/${address.repository}`;
}

/** How to get a spec of a package. */
export function howToGet(address: CacheAddress, name: string, spec: SpecDetails, base: URL): readonly Recipe[] {
  if ((spec.marks & IN_CACHE) === 0) return [];
  const text = addressText(address, base);
  const one = `${name}/${spec.hash.slice(0, 10)}`;
  const cache = quoted(text);
  return [
    {
      program: "stave",
      lines: [`stave install ${cache} ${one}`],
      note: `To run a program without Spack: stave run ${cache} ${one} -- PROGRAM`,
    },
    spackRecipe(address, text, `${name}/${spec.hash}`),
    podmanRecipe(address, text, spec.tag),
  ];
}

function spackRecipe(address: CacheAddress, text: string, one: string): Recipe {
  const program = "Spack";
  if (text.startsWith("oci-layout:"))
    return { program, lines: [], note: "Spack cannot read a directory of images; stave can, and can serve it." };
  // Spack 1.2 reads the index of an oci:// cache only, and installs a hash only from an index.
  if (text.startsWith("oci+http:"))
    return {
      program,
      lines: [],
      note: "Spack finds specs by hash only over https. stave can install it into Spack's store.",
    };
  const isMirror = address.kind === "mirror";
  return {
    program,
    lines: [
      `spack mirror add ${isMirror ? "" : "--unsigned "}catalogue ${quoted(text)}`,
      ...(isMirror ? ["spack buildcache keys --install --trust"] : []),
      `spack install --cache-only ${one}`,
    ],
    ...(isMirror && { note: "If the mirror is not signed, add it with --unsigned, and leave the second line out." }),
  };
}

function podmanRecipe(address: CacheAddress, text: string, tag: string): Recipe {
  const program = "podman";
  if (address.kind === "mirror") return { program, lines: [], note: "A mirror has no images." };
  const [, scheme, place = ""] = /^(oci|oci\+http|oci-layout):(?:\/\/)?(.*)$/.exec(text) ?? [];
  if (scheme === "oci-layout") return { program, lines: [`podman pull ${quoted(`oci:${place}:${tag}`)}`] };
  const flag = scheme === "oci+http" ? "--tls-verify=false " : "";
  return { program, lines: [`podman pull ${flag}${quoted(`${place}:${tag}`)}`] };
}
