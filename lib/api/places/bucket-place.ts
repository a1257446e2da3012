// Who asks for a bucket, and where it is: from a mirror's configuration, the environment and the files of AWS tools, in
// the order in which boto3 looks, which Spack uses.
import { join } from "node:path";
import { type AwsProfile, awsProfile } from "../../auth/aws-profile.ts";
import { isAbsentFile, messageOf, StaveError } from "../../errors.ts";
import type { S3Credentials, S3Dialect, S3Place } from "../../objects/s3/s3-settings.ts";
import { printable } from "../../printable/printable.ts";
import { Secret } from "../../printable/secret.ts";
import type { Credentials } from "../../spack/config/mirror.ts";
import { readBounded } from "../../util/read-file.ts";
import type { Surroundings } from "../machine/surroundings.ts";

/** Maximum number of bytes of a file of AWS tools. */
const AWS_FILE_LIMIT = 1024 * 1024;
const DEFAULT_REGION = "us-east-1";

/** The place of a bucket. Throws CREDENTIALS_MISSING for a profile that does not exist, CONFIG_INVALID. */
export async function bucketPlace(
  { scheme, bucket, prefix }: Pick<S3Place, "bucket" | "prefix"> & { readonly scheme: S3Dialect },
  configured: Credentials | undefined,
  around: Surroundings,
): Promise<S3Place> {
  const { env } = around;
  if (scheme === "gs") return { ...googlePlace(configured, env), bucket, prefix };
  const named = configured?.profile ?? (env["AWS_PROFILE"] || undefined);
  const profile = await readProfile(named ?? "default", around);
  if (named !== undefined && profile === undefined)
    throw new StaveError("CREDENTIALS_MISSING", `there is no AWS profile named ${printable(named)}`, {
      subject: named,
      hint: "`aws configure list-profiles` shows those that exist",
    });
  const endpoint =
    configured?.endpointUrl ||
    env["S3_ENDPOINT_URL"] ||
    env["AWS_ENDPOINT_URL_S3"] ||
    env["AWS_ENDPOINT_URL"] ||
    profile?.get("endpoint_url");
  return {
    dialect: scheme,
    bucket,
    prefix,
    endpoint: endpoint ? endpointUrl(endpoint) : undefined,
    region: env["AWS_REGION"] || env["AWS_DEFAULT_REGION"] || profile?.get("region") || DEFAULT_REGION,
    credentials: await credentialsOf(configured, named, profile, { env, isAmazon: !endpoint }),
  };
}

// Google's own identities need its library; its tools print an access token instead.
function googlePlace(
  configured: Credentials | undefined,
  env: Surroundings["env"],
): Omit<S3Place, "bucket" | "prefix"> {
  const endpoint = configured?.endpointUrl || env["GS_ENDPOINT_URL"];
  const place = { dialect: "gs", endpoint: endpoint ? endpointUrl(endpoint) : undefined, region: "auto" } as const;
  const [id, secret, token] = ["GS_ACCESS_KEY_ID", "GS_SECRET_ACCESS_KEY", "CLOUDSDK_AUTH_ACCESS_TOKEN"].map(
    (name) => env[name] || undefined,
  );
  if (configured?.pair ?? configured?.token)
    return {
      ...place,
      credentials: { pair: configured?.pair, token: configured?.token, from: "the mirror's configuration" },
    };
  if (id !== undefined && secret !== undefined)
    return { ...place, credentials: pair(id, secret, undefined, "the environment") };
  if (token === undefined) return { ...place, credentials: undefined };
  return { ...place, credentials: { pair: undefined, token: new Secret(token), from: "the environment" } };
}

function endpointUrl(text: string): URL {
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (url !== null && (url.protocol === "https:" || url.protocol === "http:")) return url;
  throw new StaveError("CONFIG_INVALID", `the endpoint ${printable(text, { most: 160 })} is not a web address`, {
    hint: "write https://HOST",
  });
}

async function credentialsOf(
  configured: Credentials | undefined,
  named: string | undefined,
  profile: AwsProfile | undefined,
  { env, isAmazon }: Pick<Surroundings, "env"> & { readonly isAmazon: boolean },
): Promise<S3Credentials | undefined> {
  if (configured?.pair)
    return {
      pair: configured.pair,
      token: configured.token,
      from: "the mirror's configuration",
    };
  const [id, secret, token] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].map(
    (name) => env[name] || undefined,
  );
  const isNamed = configured?.profile !== undefined;
  if (!isNamed && id !== undefined && secret !== undefined) return pair(id, secret, token, "the environment");
  const [profileId, profileSecret] = [profile?.get("aws_access_key_id"), profile?.get("aws_secret_access_key")];
  if (profileId && profileSecret)
    return pair(profileId, profileSecret, profile?.get("aws_session_token"), `the profile ${named ?? "default"}`);
  const needsSdk =
    ["sso_session", "sso_start_url", "role_arn", "credential_process", "web_identity_token_file"].some(
      (name) => profile?.has(name) === true,
    ) ||
    [
      "AWS_WEB_IDENTITY_TOKEN_FILE",
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
      "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ].some((name) => Boolean(env[name]));
  if (needsSdk) return await fromSdk(named);
  // A machine of Amazon's may have a role, which only it can tell; public buckets need none.
  return isAmazon && (await hasSdk()) ? await fromSdk(named).catch(() => undefined) : undefined;
}

function pair(id: string, secret: string, token: string | undefined, from: string): S3Credentials {
  return { pair: { id, secret: new Secret(secret) }, token: token ? new Secret(token) : undefined, from };
}

const SDK = "@aws-sdk/credential-providers";

interface Provider {
  fromNodeProviderChain(options: { profile?: string }): () => Promise<{
    accessKeyId: string;
    secretAccessKey: string;
    sessionToken?: string;
  }>;
}

// Single sign-on, roles and the identities of CI systems are AWS's own business, and its library is large.
async function fromSdk(profile: string | undefined): Promise<S3Credentials> {
  const missing = (cause: unknown): StaveError =>
    new StaveError("CREDENTIALS_MISSING", `credentials of this kind need the package ${SDK}: ${messageOf(cause)}`, {
      hint: `npm install ${SDK}, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN`,
      cause,
    });
  try {
    const provider: Provider = await import(SDK);
    const found = await provider.fromNodeProviderChain(profile === undefined ? {} : { profile })();
    return pair(found.accessKeyId, found.secretAccessKey, found.sessionToken, SDK);
  } catch (cause) {
    throw missing(cause);
  }
}

async function hasSdk(): Promise<boolean> {
  return await import(SDK).then(
    () => true,
    () => false,
  );
}

async function readProfile(name: string, { env, home }: Surroundings): Promise<AwsProfile | undefined> {
  const files = [
    env["AWS_SHARED_CREDENTIALS_FILE"] || join(home, ".aws", "credentials"),
    env["AWS_CONFIG_FILE"] || join(home, ".aws", "config"),
  ];
  const merged = new Map<string, string>();
  let isThere = false;
  for (const file of files) {
    const text = await readBounded(file, AWS_FILE_LIMIT).then(
      ({ bytes }) => bytes.toString("utf8"),
      (error: unknown) => {
        if (isAbsentFile(error)) return "";
        throw error;
      },
    );
    const found = awsProfile(text, name);
    isThere ||= found !== undefined;
    for (const [key, value] of found ?? []) if (!merged.has(key)) merged.set(key, value);
  }
  return isThere ? merged : undefined;
}
