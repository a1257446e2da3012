// A TUF repository with one key for all roles: the files by their paths, and the first root.
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

export interface TufRepository {
  readonly root: Buffer;
  readonly files: Map<string, Buffer>;
}

export interface TufContent {
  targets: Record<string, Buffer>;
  /** When all of it expires. */
  expires: Date;
  version?: number;
  /** The key of an earlier version. */
  key?: KeyPair;
}

export type KeyPair = { publicKey: KeyObject; privateKey: KeyObject };

export const tufKey = (): KeyPair => generateKeyPairSync("ed25519");

/** Makes a repository. */
export function makeTuf({ targets, expires, version = 1, key = tufKey() }: TufContent): TufRepository {
  const id = "a".repeat(64);
  const publicKey = Buffer.from(key.publicKey.export({ format: "jwk" }).x ?? "", "base64url").toString("hex");
  const role = { keyids: [id], threshold: 1 };
  const common = { spec_version: "1.0.31", expires: `${expires.toISOString().slice(0, 19)}Z` };
  const signed = (value: object): Buffer => {
    const sig = sign(undefined, Buffer.from(canonical(value)), key.privateKey).toString("hex");
    return Buffer.from(JSON.stringify({ signatures: [{ keyid: id, sig }], signed: value }));
  };
  const meta = (bytes: Buffer) => ({ version, length: bytes.length, hashes: { sha256: hex(bytes) } });
  const root = signed({
    ...{ _type: "root", ...common, version: 1, consistent_snapshot: true },
    keys: { [id]: { keytype: "ed25519", scheme: "ed25519", keyval: { public: publicKey } } },
    roles: { root: role, timestamp: role, snapshot: role, targets: role },
  });
  const named = Object.entries(targets).map(([name, bytes]) => [
    name,
    { length: bytes.length, hashes: { sha256: hex(bytes) } },
  ]);
  const listed = signed({ _type: "targets", ...common, version, targets: Object.fromEntries(named) });
  const snapshot = signed({ _type: "snapshot", ...common, version, meta: { "targets.json": meta(listed) } });
  const timestamp = signed({ _type: "timestamp", ...common, version, meta: { "snapshot.json": meta(snapshot) } });
  const files = new Map<string, Buffer>([
    ["timestamp.json", timestamp],
    [`${version}.snapshot.json`, snapshot],
    [`${version}.targets.json`, listed],
    ...Object.entries(targets).map(([name, bytes]): [string, Buffer] => [`targets/${hex(bytes)}.${name}`, bytes]),
  ]);
  return { root, files };
}

const hex = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(",")}}`;
}
