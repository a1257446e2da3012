// A value that must not be shown: printing, JSON and inspection give `***`, so that it cannot get into a message by chance.
import { inspect } from "node:util";

/** Holds a secret; only `reveal` gives it away. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The secret itself, for the header or the helper it is meant for. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return "***";
  }

  [inspect.custom](): string {
    return "Secret ***";
  }
}

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
