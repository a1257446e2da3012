// One request to one repository, as the handlers get it.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { LayoutTarget } from "../target/layout/layout.ts";

/** One request to a repository that is there. */
export interface Exchange {
  readonly name: string;
  readonly layout: LayoutTarget;
  /** The user who asks, else the address the request comes from. */
  readonly client: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
}

/** One request to put a manifest; its repository is made only when the manifest is taken. */
export interface ManifestExchange extends Omit<Exchange, "layout"> {
  readonly layout: LayoutTarget | undefined;
  create(): Promise<LayoutTarget>;
}
