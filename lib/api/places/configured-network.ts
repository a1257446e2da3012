// Merges the network settings of Spack's configuration into the options: certificates are added, and options take
// precedence.
import { messageOf } from "../../errors.ts";
import { discoverNetwork } from "../../spack/config/discover.ts";
import type { NetworkSettings } from "../../spack/config/settings.ts";
import { formatPlace } from "../../spack/text/yaml.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { currentHost } from "../machine/read-machine.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import type { NetworkOptions } from "./connection.ts";

/**
 * Reads the settings for work that uses nothing else of Spack. Such work must also run without a usable configuration,
 * so an unreadable configuration is only a warning.
 */
export function readNetworkSettings(
  around: Surroundings,
  onWarning: (text: string) => void,
): NetworkSettings | undefined {
  try {
    return discoverNetwork({ host: currentHost(around) });
  } catch (error) {
    onWarning(`the network settings of Spack's configuration are not used: ${messageOf(error)}`);
    return undefined;
  }
}

/** The options, completed by `config:ssl_certs`, `config:verify_ssl` and `config:connect_timeout`. */
export function configuredNetwork(
  options: NetworkOptions,
  { certificates, verifyTls, connectTimeout }: NetworkSettings,
  onWarning: (text: string) => void,
): NetworkOptions {
  let { caFiles, caFolders, insecureTls } = options;
  if (certificates) {
    const { value, place } = certificates;
    const entry = kindAt(value);
    if (entry === "folder") caFolders = [...(caFolders ?? []), value];
    else if (entry) caFiles = [...(caFiles ?? []), value];
    else onWarning(`config:ssl_certs names ${value}, which does not exist (${formatPlace(place)})`);
  }
  if (verifyTls?.value === false && insecureTls === undefined) {
    insecureTls = true;
    onWarning(`certificates are not checked: config:verify_ssl is false (${formatPlace(verifyTls.place)})`);
  }
  // In Spack 0 means no limit; connections of stave always have one.
  const configured = connectTimeout && connectTimeout.value > 0 ? connectTimeout.value * 1000 : undefined;
  return { ...options, caFiles, caFolders, insecureTls, connectTimeout: options.connectTimeout ?? configured };
}
