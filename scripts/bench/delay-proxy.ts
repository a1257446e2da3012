// A TCP proxy on loopback that delays everything, and limits its rate, for benchmarks of a distant registry.

import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A line between a client and a registry. */
export interface Line {
  /** Milliseconds, half of them for each direction. */
  readonly roundTrip: number;
  /** Bytes per second for each direction, shared by all connections; default: unlimited. */
  readonly rate?: number;
}

/** A line as the end of a title. */
export function formatLine({ roundTrip, rate }: Line): string {
  if (roundTrip === 0 && rate === undefined) return ", no delay";
  return `, round trip of ${roundTrip} ms${rate === undefined ? "" : ` and ${(rate * 8) / 1e6} Mbit/s`}`;
}

/** Delays all bytes between its port and another one. */
export class DelayProxy {
  readonly #server: Server;
  readonly port: number;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** Listens on a free port, and passes everything on to the port `to`. */
  static async start(to: number, { roundTrip, rate = Number.POSITIVE_INFINITY }: Line): Promise<DelayProxy> {
    const [up, down] = [new Direction(roundTrip / 2, rate), new Direction(roundTrip / 2, rate)];
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const registry = connect({ host: "127.0.0.1", port: to, allowHalfOpen: true, noDelay: true });
      pass(client, registry, up);
      pass(registry, client, down);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new DelayProxy(server);
  }

  /** Stops listening; connections end with their clients. */
  stop(): void {
    this.#server.close();
  }
}

// When the next byte may leave, for all connections together.
class Direction {
  readonly #delay: number;
  readonly #bytesPerMillisecond: number;
  #free = 0;

  constructor(delay: number, rate: number) {
    this.#delay = delay;
    this.#bytesPerMillisecond = rate / 1000;
  }

  /** The milliseconds until `size` bytes that come now have arrived. */
  wait(size: number): number {
    const now = performance.now();
    this.#free = Math.max(this.#free, now) + size / this.#bytesPerMillisecond;
    return this.#free - now + this.#delay;
  }
}

/** The most bytes of a connection that may be under way in one direction, as in the buffers of a router. */
const MOST_UNDER_WAY = 4 * 1024 * 1024;

function pass(from: Socket, to: Socket, direction: Direction): void {
  let underWay = 0;
  // Timers are rounded to milliseconds, so they could fire out of order; each runs the first action that waits.
  const waiting: (() => void)[] = [];
  const later = (size: number, action: () => void): void => {
    waiting.push(action);
    const wait = direction.wait(size);
    if (wait > 0) setTimeout(() => waiting.shift()?.(), wait);
    else waiting.shift()?.();
  };
  from.on("data", (bytes) => {
    underWay += bytes.length;
    if (underWay > MOST_UNDER_WAY) from.pause();
    later(bytes.length, () => {
      underWay -= bytes.length;
      if (underWay <= MOST_UNDER_WAY) from.resume();
      to.write(bytes);
    });
  });
  from.on("end", () => later(0, () => to.end()));
  from.on("error", () => to.destroy());
  from.on("close", () => later(0, () => to.destroySoon()));
}
