// Parses arguments that name an image, or several of one repository.
import { repositoryOf } from "../../api/places/image-places.ts";
import { StaveError } from "../../errors.ts";
import { formatLocation, type Location, parseLocation } from "../../oci/reference.ts";

/** The tag or digest that a location names; undefined if none. */
export function namedIn(location: Location): string | undefined {
  const { tag, digest } = location.kind === "layout" ? location : location.reference;
  return digest ?? tag;
}

/** Images of one repository, each named by its tag or digest. Throws USAGE. */
export function imagesOfOne(texts: readonly string[]): { readonly place: Location; readonly references: string[] } {
  const references: string[] = [];
  let place: Location | undefined;
  for (const text of texts) {
    const location = parseLocation(text);
    const reference = namedIn(location);
    if (reference === undefined)
      throw new StaveError("USAGE", `${formatLocation(location)} names a repository, not an image`, {
        hint: "add a tag or a digest: REPO:TAG or REPO@DIGEST; for an installed spec use `stave uninstall SPEC`",
      });
    const here = repositoryOf(location);
    place ??= here;
    if (formatLocation(here) !== formatLocation(place))
      throw new StaveError("USAGE", "all images must be in one repository", {
        hint: "run the command once for each repository",
      });
    references.push(reference);
  }
  if (place === undefined) throw new StaveError("USAGE", "no image is named");
  return { place, references };
}
