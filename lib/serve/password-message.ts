// The messages to and from the password thread.

/** A password and the bcrypt hash to compare it with. */
export interface PasswordOrder {
  readonly id: number;
  readonly password: string;
  readonly hash: string;
}

/** The result of one comparison. */
export interface PasswordAnswer {
  readonly id: number;
  readonly isRight: boolean;
}
