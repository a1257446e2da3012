// Merges the network settings of Spack's configuration into the flags: certificates are added, and flags take
// precedence.
import { currentHost } from "../../api/read-machine.ts";
import { messageOf } from "../../errors.ts";
import type { NetworkSettings } from "../../spack/config/settings.ts";
import { formatPlace } from "../../spack/text/yaml.ts";
import { kindAt } from "../../util/look.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import type { TransportFlags } from "./shared-flags.ts";

/**
 * Reads the settings for a verb that uses nothing else of Spack. Such a verb must also run without a usable
 * configuration, so an unreadable configuration is only a warning.
 */
export async function readNetworkSettings(context: Context, output: Output): Promise<NetworkSettings | undefined> {
  // Loaded here, so that verbs on directories start without it.
  const { discoverNetwork } = await import("../../spack/config/discover.ts");
  try {
    return discoverNetwork({ host: currentHost(context) });
  } catch (error) {
    output.warn(`the network settings of Spack's configuration are not used: ${messageOf(error)}`);
    return undefined;
  }
}

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
  // In Spack 0 means no limit; connections of stave always have one.
  if (connectTimeout && connectTimeout.value > 0 && flags.connectTimeout === undefined)
    found.connectTimeout = connectTimeout.value;
  return { ...flags, ...found };
}
