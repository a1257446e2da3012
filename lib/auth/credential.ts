// What identifies a user to a registry.
import type { Secret } from "../printable/secret.ts";

/** What identifies a user to a registry. */
export type Credential =
  | { kind: "password"; username: string; password: Secret }
  /** A refresh token (`identitytoken`), exchanged by POST. */
  | { kind: "identity"; token: Secret }
  /** A bearer token to send as is (`registrytoken`). */
  | { kind: "bearer"; token: Secret };

/** A credential and its origin, for messages. */
export interface FoundCredential {
  credential: Credential;
  from: string;
}
