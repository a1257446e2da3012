// The addresses of the pages: all in the part after the `#`, so that a folder of files is enough to serve them.

/** A page. */
export type Route =
  | { readonly page: "start"; readonly text: string }
  | { readonly page: "package"; readonly name: string; readonly filter: string; readonly compared: string | undefined }
  | { readonly page: "spec"; readonly name: string; readonly hash: string }
  | { readonly page: "diff"; readonly left: SpecKey; readonly right: SpecKey }
  | { readonly page: "unknown" };

/** What identifies a spec in the catalogue. */
export interface SpecKey {
  readonly name: string;
  readonly hash: string;
}

const part = encodeURIComponent;

/** The address of the start page, with a text to search for. */
export const startLink = (text = ""): string => (text === "" ? "#/" : `#/?q=${part(text)}`);

/** The address of a package; `compared` is the spec to compare another one with. */
export function packageLink(name: string, { filter = "", compared = "" } = {}): string {
  const query = new URLSearchParams();
  if (filter !== "") query.set("q", filter);
  if (compared !== "") query.set("compare", compared);
  const text = query.toString();
  return `#/p/${part(name)}${text === "" ? "" : `?${text}`}`;
}

/** The address of a spec. */
export const specLink = ({ name, hash }: SpecKey): string => `#/s/${part(name)}/${part(hash)}`;

/** The address of a comparison. */
export const diffLink = (left: SpecKey, right: SpecKey): string =>
  `#/diff/${[left.name, left.hash, right.name, right.hash].map(part).join("/")}`;

/** The page of an address. */
export function parseRoute(address: string): Route {
  const [path = "", query = ""] = address.replace(/^#?\/?/, "").split("?");
  const values = new URLSearchParams(query);
  const text = values.get("q") ?? "";
  let words: string[];
  try {
    words = path.split("/").map(decodeURIComponent);
  } catch {
    return { page: "unknown" };
  }
  const [kind, one = "", two = "", three = "", four = ""] = words;
  if (kind === "") return { page: "start", text };
  if (kind === "p" && one !== "")
    return { page: "package", name: one, filter: text, compared: values.get("compare") ?? undefined };
  if (kind === "s" && two !== "") return { page: "spec", name: one, hash: two };
  if (kind === "diff" && four !== "")
    return { page: "diff", left: { name: one, hash: two }, right: { name: three, hash: four } };
  return { page: "unknown" };
}
