// The packages of a system, from the status file of its package manager: dpkg's or apk's, which are text. (rpm has a
// binary database.)
import type { ByteString } from "../util/byte-string.ts";

/** A package of the system that a base image has. */
export interface SystemPackage {
  readonly name: string;
  readonly version: string;
}

/** Maximum number of bytes of a status file; Debian's has about 1 kB for each package. */
export const STATUS_BYTES: number = 16 * 1024 * 1024;

const DPKG = /^var\/lib\/dpkg\/(?:status|status\.d\/[^/]+)$/;
const APK = /^(?:usr\/)?lib\/apk\/db\/installed$/;

/** True for the path of a status file. Distroless images have one for each package. */
export function isStatusFile(path: ByteString): boolean {
  return (DPKG.test(path) && !path.endsWith(".md5sums")) || APK.test(path);
}

/** The packages that a status file lists as installed. */
export function readStatus(path: ByteString, text: string): SystemPackage[] {
  const keys = APK.test(path) ? { name: "P", version: "V" } : { name: "Package", version: "Version" };
  return text.split(/\n[ \t]*\n/).flatMap((paragraph) => {
    const fields = new Map<string, string>();
    for (const line of paragraph.split("\n")) {
      const [, key, value] = /^([A-Za-z-]+):[ \t]*(.*)$/.exec(line) ?? [];
      if (key !== undefined && value !== undefined) fields.set(key, value.trim());
    }
    const [name, version, status] = [fields.get(keys.name), fields.get(keys.version), fields.get("Status")];
    // A package that was removed may have left its configuration, and its paragraph.
    const isInstalled = status === undefined || status.split(" ")[2] === "installed";
    return name && version && isInstalled ? [{ name, version }] : [];
  });
}
