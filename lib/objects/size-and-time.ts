// The sizes and times that servers send with objects.

/** A time in milliseconds since the epoch; undefined if the text is absent or is no time. */
export function timeOf(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? "");
  return Number.isNaN(time) ? undefined : time;
}

/** A number of bytes; undefined if the text is absent or is no size. */
export function sizeOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
