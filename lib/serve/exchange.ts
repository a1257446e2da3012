// One request to one repository, as passed to the handlers.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { LayoutTarget } from "../target/layout/layout.ts";

/** One request to an existing repository. */
export interface Exchange {
  readonly name: string;
  readonly layout: LayoutTarget;
  /** The authenticated user, otherwise the address of the client. */
  readonly client: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
}

/** A request to put a manifest; its repository is created only when the manifest is accepted. */
export interface ManifestExchange extends Omit<Exchange, "layout"> {
  readonly layout: LayoutTarget | undefined;
  create(): Promise<LayoutTarget>;
}
