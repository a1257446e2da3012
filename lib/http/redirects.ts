// Decides which redirects are followed, how they change a request's method, and which are refused.
import { StaveError } from "../errors.ts";
import { rememberSignature } from "../printable/secret.ts";
import { headerOf, redactUrl } from "./response.ts";
import type { HttpRequest, HttpResponse } from "./types.ts";

const MAX_REDIRECTS = 10;
const REDIRECTS = [301, 302, 303, 307, 308];

/** The URL and method of the next exchange of a request. */
export class Route {
  url: URL;
  method: HttpRequest["method"];
  readonly #request: HttpRequest;
  readonly #seen = new Set<string>();

  constructor(request: HttpRequest) {
    this.#request = request;
    this.url = request.url;
    this.method = request.method;
  }

  /**
   * Follows a redirect, unless the caller handles its status itself; returns false for any other response. Throws
   * REGISTRY_ERROR for a redirect that must not be followed.
   */
  follow(response: HttpResponse): boolean {
    const { status } = response;
    const location = headerOf(response, "location");
    if (!REDIRECTS.includes(status) || location === undefined || this.#request.accept.includes(status)) return false;
    response.body.destroy();
    this.#seen.add(`${this.method} ${this.url.href}`);
    this.url = this.#target(location);
    rememberSignature(this.url);
    if (status <= 303 && this.method !== "GET" && this.method !== "HEAD") {
      if (status !== 303) throw this.#refusal("a redirect that would change the request's method");
      this.method = "GET";
    }
    if (this.#seen.has(`${this.method} ${this.url.href}`)) throw this.#refusal("a redirect loop");
    if (this.#seen.size >= MAX_REDIRECTS) throw this.#refusal(`more than ${MAX_REDIRECTS} redirects`);
    return true;
  }

  #target(location: string): URL {
    const from = this.url;
    const target = URL.parse(location, from.href);
    if (target === null || (target.protocol !== "https:" && target.protocol !== "http:"))
      throw this.#refusal("a redirect to something that is not a web address");
    if (from.protocol === "https:" && target.protocol === "http:")
      throw this.#refusal("a redirect from https to plain http", target);
    return target;
  }

  #refusal(what: string, url: URL = this.url): StaveError {
    const { op, subject } = this.#request;
    return new StaveError("REGISTRY_ERROR", `cannot ${op} ${subject}: ${what} (at ${redactUrl(url)})`, { op, subject });
  }
}
