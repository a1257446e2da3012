// What is used of undici, as a file of its own, so that it is loaded with the first request and bundled with named exports.
export { Agent, buildConnector } from "undici";
