// Where a bucket is and who asks for it: everything that the requests to an S3 server need.
import type { Secret } from "../../printable/secret.ts";

/** A key pair, with the token of a session; or, at Google, an access token alone. */
export interface S3Credentials {
  readonly pair: { readonly id: string; readonly secret: Secret } | undefined;
  readonly token: Secret | undefined;
  /** For messages. */
  readonly from: string;
}

/** Whose form of the protocol a server speaks: Amazon's, or that of Google Cloud Storage. */
export type S3Dialect = "s3" | "gs";

/** A bucket, or a folder in it. */
export interface S3Place {
  readonly dialect: S3Dialect;
  readonly bucket: string;
  /** The folder, without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** A server other than Amazon's or Google's. */
  readonly endpoint: URL | undefined;
  readonly region: string;
  /** Without any, requests are not signed: public buckets allow that. */
  readonly credentials: S3Credentials | undefined;
}

/** Regions outside of Amazon's usual domain, by the start of their names. */
const DOMAINS = [
  ["cn-", "amazonaws.com.cn"],
  ["eusc-", "amazonaws.eu"],
] as const;

/** The URL of a key, or without one of the bucket. As in Spack, only Amazon's own buckets are part of the host name. */
export function s3Url({ dialect, bucket, endpoint, region }: S3Place, key: string | undefined): URL {
  const path = key === undefined ? "" : key.split("/").map(strictlyEncoded).join("/");
  if (endpoint !== undefined) return new URL(`${endpoint.href.replace(/\/+$/, "")}/${bucket}/${path}`);
  if (dialect === "gs") return new URL(`https://storage.googleapis.com/${bucket}/${path}`);
  const domain = DOMAINS.find(([start]) => region.startsWith(start))?.[1] ?? "amazonaws.com";
  const host = region === "us-east-1" ? "s3.amazonaws.com" : `s3.${region}.${domain}`;
  // A certificate for *.s3.amazonaws.com does not cover names with more dots.
  return new URL(bucket.includes(".") ? `https://${host}/${bucket}/${path}` : `https://${bucket}.${host}/${path}`);
}

/** Encodes a part of a path or query as signatures require it, which is more than `encodeURIComponent` does. */
export function strictlyEncoded(part: string): string {
  return encodeURIComponent(part).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}
