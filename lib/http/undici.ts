// The used parts of undici in a separate file, so that they are loaded at the first request. They are imported one by
// one: the whole package also loads fetch, web sockets, mocks and caches, which takes 20 ms of CPU time.
/// <reference path="./undici-parts.d.ts" />
import type * as undici from "undici";
import request from "undici/lib/api/api-request.js";
import connect from "undici/lib/core/connect.js";
import agent from "undici/lib/dispatcher/agent.js";
import dispatcher from "undici/lib/dispatcher/dispatcher.js";

// The package does the same for all its kinds of request.
dispatcher.prototype.request = request;

/** Sends requests over pools of connections, one per origin. */
export const Agent: typeof undici.Agent = agent;

/** Makes functions that open connections. */
export const buildConnector: typeof undici.buildConnector = connect;
