// What the password thread is asked and what it answers.

/** A password and the bcrypt hash it may belong to. */
export interface PasswordOrder {
  readonly id: number;
  readonly password: string;
  readonly hash: string;
}

export interface PasswordAnswer {
  readonly id: number;
  readonly isRight: boolean;
}
