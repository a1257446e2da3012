// The used parts of undici in a separate file, so that they are loaded at the first request and bundled with named
// exports.
export { Agent, buildConnector } from "undici";
