// Connections through a proxy. CONNECT is implemented here rather than by undici, so that it has a deadline, ends when
// the transport is closed, and its failures name the proxy.
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { buildConnector } from "undici";

/** A proxy failure: its response, or why it could not be reached. */
export class ProxyFailure extends Error {
  readonly proxy: string;
  /** The status of its response to CONNECT. */
  readonly status: number | undefined;

  constructor(proxy: string, message: string, more: { status?: number; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.proxy = proxy;
    this.status = more.status;
  }
}

/** How to reach a proxy and log in to it. */
export interface TunnelOptions {
  proxy: URL;
  /** Opens a connection to the proxy. */
  dial: buildConnector.connector;
  /** The value of Proxy-Authorization. */
  authorization?: string | undefined;
  /** Milliseconds for the response to CONNECT. */
  timeout: number;
  userAgent: string;
  onSocket(socket: Socket): void;
}

/** Maximum number of bytes of the header of a response to CONNECT. */
const HEAD_LIMIT = 16 * 1024;

/** The address of a proxy, for messages: without user and password. */
export function proxyName(proxy: URL): string {
  return `${proxy.protocol}//${proxy.host}`;
}

/** An address without the brackets that URLs put around IPv6 addresses. */
export function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

/** Opens a tunnel to `target` (`host:port`). The socket's next byte is the target's. Throws ProxyFailure. */
export async function openTunnel(target: string, options: TunnelOptions): Promise<Socket> {
  const { proxy, dial } = options;
  const name = proxyName(proxy);
  const socket = await new Promise<Socket | TLSSocket>((resolve, reject) => {
    const { hostname, host, port, protocol } = proxy;
    dial({ hostname: bare(hostname), host, port, protocol }, (error, connected) => {
      if (connected) resolve(connected);
      else reject(new ProxyFailure(name, "cannot be reached", { cause: error }));
    });
  });
  options.onSocket(socket);
  try {
    const head = await askFor(target, socket, options);
    const status = Number(/^HTTP\/1\.[01] ([0-9]{3})(?: |\r|$)/.exec(head)?.[1] ?? "0");
    if (status >= 200 && status < 300) return socket;
    const what = status === 0 ? "does not speak HTTP" : `answered ${status}`;
    throw new ProxyFailure(name, what, { status });
  } catch (error) {
    socket.on("error", () => {}).destroy();
    throw error;
  }
}

/** Sends CONNECT and reads the header of the response; the bytes after it stay in the socket. */
function askFor(target: string, socket: Socket, options: TunnelOptions): Promise<string> {
  const { proxy, authorization, timeout, userAgent } = options;
  const name = proxyName(proxy);
  return new Promise((resolve, reject) => {
    let head: Buffer = Buffer.alloc(0);
    const settle = (act: () => void) => {
      clearTimeout(timer);
      socket.off("data", onData).off("error", onError).off("close", onClose);
      act();
    };
    const fail = (message: string, more?: { cause?: unknown }) =>
      settle(() => reject(new ProxyFailure(name, message, more)));
    const onData = (bytes: Buffer) => {
      head = Buffer.concat([head, bytes]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.byteLength > HEAD_LIMIT) return fail("answers CONNECT with an endless head");
      if (end < 0) return;
      settle(() => {
        socket.pause();
        if (head.byteLength > end + 4) socket.unshift(head.subarray(end + 4));
        resolve(head.subarray(0, end).toString("latin1"));
      });
    };
    const onError = (cause: Error) => fail("broke the connection", { cause });
    const onClose = () => fail("broke the connection");
    const timer = setTimeout(
      () => fail(`did not answer CONNECT ${target} in ${Math.round(timeout / 100) / 10} s`, { cause: timedOut() }),
      timeout,
    );
    socket.on("data", onData).on("error", onError).on("close", onClose);
    if (socket.destroyed) onClose();
    const lines = [
      `CONNECT ${target} HTTP/1.1`,
      `host: ${target}`,
      `user-agent: ${userAgent}`,
      ...(authorization === undefined ? [] : [`proxy-authorization: ${authorization}`]),
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  });
}

function timedOut(): Error {
  return Object.assign(new Error("timed out"), { code: "ETIMEDOUT" });
}
