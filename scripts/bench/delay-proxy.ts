// A TCP proxy on loopback that delays everything, for benchmarks of a distant registry.

import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Delays all bytes between its port and another one. */
export class DelayProxy {
  readonly #server: Server;
  readonly port: number;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** Listens on a free port; `roundTrip` is in milliseconds, half of it for each direction. */
  static async start(to: number, roundTrip: number): Promise<DelayProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const registry = connect({ host: "127.0.0.1", port: to, allowHalfOpen: true, noDelay: true });
      pass(client, registry, roundTrip / 2);
      pass(registry, client, roundTrip / 2);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new DelayProxy(server);
  }

  /** Stops listening; connections end with their clients. */
  stop(): void {
    this.#server.close();
  }
}

function pass(from: Socket, to: Socket, delay: number): void {
  const later = (action: () => void): void => void (delay > 0 ? setTimeout(action, delay) : action());
  from.on("data", (bytes) => later(() => void to.write(bytes)));
  from.on("end", () => later(() => to.end()));
  from.on("error", () => to.destroy());
  from.on("close", () => later(() => to.destroySoon()));
}
