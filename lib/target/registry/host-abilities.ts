// What uploads have found out about each host in this run, so that it is found out once.
import type { Transport } from "../../http/types.ts";
import type { Repository } from "./repository.ts";

/** The abilities of a host; undefined while unknown. */
export interface HostAbilities {
  /** Whether it stores a blob in one request; `"asking"` while the first one is on its way. */
  wholePosts?: boolean | "asking" | undefined;
  /** It, or a proxy in front of it, refused a large blob in one request. */
  refusesLarge?: boolean | undefined;
}

const known = new WeakMap<Transport, Map<string, HostAbilities>>();

/** The abilities of the host of a repository, to be read and changed. */
export function abilitiesOf({ options: { transport }, host }: Repository): HostAbilities {
  const hosts = known.get(transport) ?? new Map<string, HostAbilities>();
  known.set(transport, hosts);
  const abilities = hosts.get(host) ?? {};
  hosts.set(host, abilities);
  return abilities;
}
