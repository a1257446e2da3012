// koffi, which calls C functions: only its native library, which needs neither koffi's JavaScript nor an install
// script. It is loaded at first use, because most commands call none.
import { createRequire } from "node:module";

/** What stave uses of koffi. */
export interface Koffi {
  /** Opens a shared library; null stands for this process itself, so glibc and musl both work. */
  load(path: string | null): { func(prototype: string): (...args: unknown[]) => number };
  struct(members: Readonly<Record<string, string>>): unknown;
  pointer(type: unknown): unknown;
  /** A parameter that the function reads and writes. */
  inout(type: unknown): unknown;
  /** The error number of the last call. */
  errno(): number;
}

/** The npm package with the native library for this machine. */
export const KOFFI_PACKAGE: string = `@koromix/koffi-${process.platform}-${process.arch}`;

let load = (): Koffi => createRequire(import.meta.url)(KOFFI_PACKAGE);
let loaded: Koffi | undefined;

/** Loads the library from elsewhere from now on: a single executable has no packages. */
export function loadKoffiBy(loader: () => Koffi): void {
  load = loader;
}

/**
 * `fcntl` of the C library: a descriptor, a command, and the type and value of what the command wants. Throws as
 * `koffi`.
 */
export function fcntlCall(): (descriptor: number, command: number, type: unknown, value: unknown) => number {
  return koffi().load(null).func("int fcntl(int fd, int command, ...)");
}

/** The library. Throws if there is none for this machine. */
export function koffi(): Koffi {
  loaded ??= load();
  return loaded;
}
