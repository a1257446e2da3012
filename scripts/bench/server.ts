// Registries on loopback for benchmarks: Debian's docker-registry and `stave serve`, each with a folder that can be
// emptied, and a log from which requests are counted.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { findProgram } from "../peers.ts";

const GZIP_MAGIC = Buffer.of(0x1f, 0x8b);

/** The registries that can be started on this machine. */
export function registryKinds(): string[] {
  return findProgram("docker-registry") === undefined ? ["stave serve"] : ["docker-registry", "stave serve"];
}

/** A registry that can be emptied: some clients remember where a blob exists, and mount it from there. */
export class Server {
  readonly kind: string;
  readonly port: number;
  readonly host: string;
  readonly #folder: string;
  readonly #stave: string;
  #process: ChildProcess | undefined;

  constructor(kind: string, port: number, scratch: string, stave: string) {
    this.kind = kind;
    this.port = port;
    this.host = `127.0.0.1:${port}`;
    this.#folder = join(scratch, kind.replace(" ", "-"));
    this.#stave = stave;
  }

  /** Starts it empty. */
  async restart(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
    mkdirSync(this.#folder, { recursive: true });
    const log = openSync(this.#log, "w");
    this.#process = this.kind === "docker-registry" ? this.#distribution(log) : this.#own(log);
    closeSync(log);
    await untilUp(this.port);
  }

  /** The number of requests since its start, including those that checked whether it is up. */
  requests(): number {
    return [...readFileSync(this.#log, "utf8").matchAll(/^\d{3} [A-Z]+ \/|" \d{3} \d+ "/gm)].length;
  }

  /** The CPU time of the registry since its start, in seconds. */
  cpu(): number {
    const [, , ...fields] = readFileSync(`/proc/${this.#process?.pid}/stat`, "utf8").split(/\) | /);
    // Fields 14 and 15 of proc_pid_stat(5), user and system, in hundredths of a second.
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** The layout directory in which `stave serve` stores a repository. */
  repository(name: string): string {
    return join(this.#folder, "served", name);
  }

  /** The total size of all blobs and manifests. */
  stored(): number {
    return this.#blobs().reduce((sum, path) => sum + statSync(path).size, 0);
  }

  /** The gzip files among them, which are the layers. */
  gzipBlobs(): string[] {
    return this.#blobs().filter((path) => {
      const head = Buffer.alloc(GZIP_MAGIC.length);
      const descriptor = openSync(path, "r");
      readSync(descriptor, head);
      closeSync(descriptor);
      return head.equals(GZIP_MAGIC);
    });
  }

  #blobs(): string[] {
    return readdirSync(this.#folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && (entry.name === "data" || /^[0-9a-f]{64}$/.test(entry.name)))
      .map((entry) => join(entry.parentPath, entry.name));
  }

  get #log(): string {
    return join(this.#folder, "log");
  }

  #own(log: number): ChildProcess {
    mkdirSync(this.repository(""), { recursive: true });
    const args = ["serve", this.repository(""), "--listen", this.host, "-v", "--color", "never"];
    return spawn(process.execPath, [this.#stave, ...args], { stdio: ["ignore", "ignore", log] });
  }

  #distribution(log: number): ChildProcess {
    const config = join(this.#folder, "config.yml");
    // As Debian configures it: descriptors of blobs are cached.
    const storage = `storage: {cache: {blobdescriptor: inmemory}, filesystem: {rootdirectory: ${join(this.#folder, "blobs")}}}`;
    writeFileSync(config, `version: 0.1\nlog: {level: error}\n${storage}\nhttp: {addr: ${this.host}}\n`);
    return spawn("docker-registry", ["serve", config], { stdio: ["ignore", log, log] });
  }

  async stop(): Promise<void> {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    running.kill("SIGKILL");
    await once(running, "exit");
  }
}

/** A free port of the loopback interface. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** Waits until a registry responds; at most 20 s. */
export async function untilUp(port: number): Promise<void> {
  for (let at = 0; at < 200; at++) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/v2/`)).status < 500) return;
    } catch {
      // Not ready yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no registry came up on port ${port}`);
}
