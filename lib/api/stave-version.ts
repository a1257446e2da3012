// The version of the program, from package.json; the bundler puts the text in its place.
import metadata from "../../package.json" with { type: "json" };

export const VERSION: string = metadata.version;
