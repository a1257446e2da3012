// Base images that are named on the command line: the trust policy judges each before anything of it is read.
import { referenceOf } from "../../api/places/connection.ts";
import { type TrustOptions, trustedReference } from "../../api/signers/trust.ts";
import { parseLocation } from "../../oci/reference.ts";
import type { BaseSource } from "../../ops/push/base-image.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import type { Opener } from "./open.ts";

/** What opening a base needs. */
export interface BaseUse {
  readonly context: Context;
  readonly output: Output;
  readonly flags: TrustOptions;
}

/** Opens a base image, by its digest if the policy has a say. Throws as the policy does, and NOT_FOUND. */
export async function trustedBase(
  name: string,
  opener: Opener,
  { context, output, flags }: BaseUse,
): Promise<BaseSource> {
  const location = parseLocation(name);
  const target = await opener.read(location);
  const named = await referenceOf(location, target, context.signal);
  const onWarning = (text: string): void => output.warn(text);
  const use = { around: context, options: flags, transport: opener.transport, onWarning };
  return { name, target, reference: await trustedReference(location, target, named, use) };
}
