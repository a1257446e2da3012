// Numbers and names for people.

/** A number of bytes. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** A number with its noun: `1 spec`, `12 345 specs`. */
export function count(number: number, noun: string): string {
  return `${formatNumber(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** A number in groups of three digits. */
export function formatNumber(number: number): string {
  return String(number).replace(/\B(?=(?:\d{3})+$)/g, "\u202f");
}

/** The first letters of a hash, as Spack shows them. */
export const shortHash = (hash: string): string => hash.slice(0, 7);

/** The names of the types of a dependency. */
export function typeNames(types: number): readonly string[] {
  return ["link", "run", "build", "test"].filter((_, bit) => (types & (1 << bit)) !== 0);
}
