// What Spack's configuration says about the network, as if it had been said with flags: certificates are added, and flags
// come before everything else.
import type { NetworkSettings } from "../../spack/config/settings.ts";
import { formatPlace } from "../../spack/text/yaml.ts";
import { kindAt } from "../../util/look.ts";
import type { Output } from "../output/output.ts";
import type { TransportFlags } from "./shared-flags.ts";

/** The flags with what `config:ssl_certs`, `config:verify_ssl` and `config:connect_timeout` add to them. */
export function configuredNetwork<F extends TransportFlags>(flags: F, network: NetworkSettings, output: Output): F {
  const { certificates, verifyTls, connectTimeout } = network;
  const found: TransportFlags = {};
  if (certificates) {
    const { value, place } = certificates;
    const entry = kindAt(value);
    if (entry === "folder") found.capath = [...(flags.capath ?? []), value];
    else if (entry) found.cacert = [...(flags.cacert ?? []), value];
    else output.warn(`config:ssl_certs names ${value}, which is not there (${formatPlace(place)})`);
  }
  if (verifyTls?.value === false && flags.insecureTls === undefined) {
    found.insecureTls = true;
    output.warn(`certificates are not checked: config:verify_ssl is false (${formatPlace(verifyTls.place)})`);
  }
  // Spack waits without end for 0 seconds; a connection here always has a limit.
  if (connectTimeout && connectTimeout.value > 0 && flags.connectTimeout === undefined)
    found.connectTimeout = connectTimeout.value;
  return { ...flags, ...found };
}
