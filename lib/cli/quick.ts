// What starts without the rest of stave: the libraries for flags and configuration take most of the time of a start.
export { complete } from "./complete.ts";
export { repeatRun } from "./repeat-run.ts";
