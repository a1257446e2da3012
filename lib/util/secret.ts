// A value that must not be shown: printing, logging and serialising it give `***`.
import { inspect } from "node:util";

/** A password or token; `reveal()` is the one way to its text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself, for a header or a signature and nothing else. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return "***";
  }

  [inspect.custom](): string {
    return "***";
  }
}
