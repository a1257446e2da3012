// The version of stave, from package.json; the bundler inlines it.
import metadata from "../../../package.json" with { type: "json" };

/** The version of stave. */
export const VERSION: string = metadata.version;
