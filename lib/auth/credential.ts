// What a user may be known by to a registry.
import type { Secret } from "../printable/secret.ts";

/** What a user is known by. */
export type Credential =
  | { kind: "password"; username: string; password: Secret }
  /** A refresh token (`identitytoken`), exchanged by POST. */
  | { kind: "identity"; token: Secret }
  /** A bearer token to be sent as it is (`registrytoken`). */
  | { kind: "bearer"; token: Secret };

/** A credential and where it was found. */
export interface FoundCredential {
  credential: Credential;
  from: string;
}
