// A client for test registries: real transport and credentials, pauses that take no time.
import { Keychain } from "../../lib/auth/keychain.ts";
import { createAuthorizer } from "../../lib/auth/token.ts";
import { createTransport, type TransportOptions } from "../../lib/http/transport.ts";
import type { TraceEvent, Transport } from "../../lib/http/types.ts";
import { Secret } from "../../lib/printable/secret.ts";
import { RegistryTarget } from "../../lib/target/registry/registry.ts";
import type { Clock } from "../../lib/util/time.ts";

/** A clock that jumps ahead instead of waiting, and records the requested pauses. */
export interface JumpingClock extends Clock {
  slept: number[];
  advance(milliseconds: number): void;
}

export function jumpingClock(start: number = Date.now()): JumpingClock {
  let ahead = 0;
  const slept: number[] = [];
  const real = Date.now();
  return {
    slept,
    now: () => start + (Date.now() - real) + ahead,
    advance: (milliseconds) => {
      ahead += milliseconds;
    },
    sleep: async (milliseconds, signal) => {
      signal?.throwIfAborted();
      slept.push(milliseconds);
      ahead += milliseconds;
      await new Promise((resolve) => setImmediate(resolve));
    },
    random: () => 0.5,
  };
}

/** A clock that stands still until the test moves it. */
export class HandClock implements Clock {
  #now = 1000;
  #sleepers: { readonly until: number; readonly wake: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#sleepers.push({ until: this.#now + milliseconds, wake: resolve });
    });
  }

  random(): number {
    return 0.5;
  }

  get sleeping(): number {
    return this.#sleepers.length;
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
    const due = this.#sleepers.filter(({ until }) => until <= this.#now);
    this.#sleepers = this.#sleepers.filter(({ until }) => until > this.#now);
    for (const { wake } of due) wake();
  }
}

export interface TestClient {
  target: RegistryTarget;
  transport: Transport;
  clock: JumpingClock;
  trace: TraceEvent[];
  close(): Promise<void>;
}

/** A target in a registry on loopback; tests with timeouts set a short one. */
export function connect(
  host: string,
  repository: string,
  options: Partial<TransportOptions> & {
    login?: { username: string; password: string };
    scheme?: "https" | "http";
  } = {},
): TestClient {
  const { login, scheme = "http", ...rest } = options;
  const clock = jumpingClock();
  const trace: TraceEvent[] = [];
  const transport = createTransport({ clock, timeout: 5000, trace: (event) => trace.push(event), ...rest });
  const explicit = login
    ? [{ registry: host, username: login.username, password: new Secret(login.password), from: "the test" }]
    : [];
  const keychain = new Keychain({ env: {}, home: "/nonexistent", authfile: "/nonexistent/auth.json", explicit });
  const authorizer = createAuthorizer({ transport, keychain, clock });
  // A clock in the options replaces the jumping one, for tests of what real time decides.
  const target = new RegistryTarget({
    transport,
    authorizer,
    clock: rest.clock ?? clock,
    registry: host,
    repository,
    scheme,
  });
  return { target, transport, clock, trace, close: () => transport.close() };
}
