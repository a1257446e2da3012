// Versions of glibc, and common base images by the version that they have.
import type { ByteString } from "../util/byte-string.ts";

// Published images, oldest first. Names of distributions change rarely; the list only serves hints.
const IMAGES: readonly (readonly [version: string, image: string])[] = [
  ["2.17", "centos:7"],
  ["2.28", "rockylinux:8"],
  ["2.31", "debian:11-slim"],
  ["2.34", "rockylinux:9"],
  ["2.35", "ubuntu:22.04"],
  ["2.36", "debian:12-slim"],
  ["2.39", "ubuntu:24.04"],
  ["2.41", "debian:13-slim"],
];

/** The highest version of glibc among symbol versions: `2.36`; undefined if none is a version of glibc. */
export function highestGlibc(versions: readonly ByteString[]): string | undefined {
  const numbers = versions.flatMap((version) => /^GLIBC_(\d+(?:\.\d+)+)$/.exec(version)?.[1] ?? []);
  return numbers.toSorted(compareNumbers).at(-1);
}

/** A common base image that has at least this version of glibc. */
export function imageWithGlibc(version: string): string | undefined {
  return IMAGES.find(([has]) => compareNumbers(has, version) >= 0)?.[1];
}

/** Orders dotted numbers. */
export function compareNumbers(a: string, b: string): number {
  const [left, right] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
