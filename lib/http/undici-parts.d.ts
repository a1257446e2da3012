// Types of the parts of undici that are imported one by one: the package declares types for the whole only.

declare module "undici/lib/api/api-request.js" {
  import type { Dispatcher } from "undici";

  const request: Dispatcher["request"];
  export default request;
}

declare module "undici/lib/core/connect.js" {
  import type { buildConnector } from "undici";

  const connect: typeof buildConnector;
  export default connect;
}

declare module "undici/lib/dispatcher/agent.js" {
  import type { Agent } from "undici";

  const agent: typeof Agent;
  export default agent;
}

declare module "undici/lib/dispatcher/dispatcher.js" {
  import type { Dispatcher } from "undici";

  const dispatcher: typeof Dispatcher;
  export default dispatcher;
}
