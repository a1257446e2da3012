// The version of stave and the address of its repository, from package.json; the bundler inlines them.
import metadata from "../../../package.json" with { type: "json" };

const { version, repository }: { readonly version: string; readonly repository?: { readonly url: string } } = metadata;

/** The version of stave. */
export const VERSION: string = version;
/** The address of stave's repository; undefined as long as package.json names no public one. */
export const REPOSITORY: string | undefined = repository?.url;
