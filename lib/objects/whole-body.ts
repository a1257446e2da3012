// The body of a response whose digest is not known: bounded, and complete or an error.
import { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { headerOf, networkError } from "../http/response.ts";
import type { HttpRequest, HttpResponse } from "../http/types.ts";
import { sizeMismatch } from "../util/stream.ts";

/** A stream of a body of at most `limit` bytes. Throws TOO_LARGE if the response announces more. */
export function wholeBody(
  response: HttpResponse,
  limit: number,
  request: Pick<HttpRequest, "op" | "subject">,
): Readable {
  const { subject } = request;
  const header = headerOf(response, "content-length");
  const announced = header === undefined ? undefined : Number(header);
  const tooLarge = (size: number): StaveError =>
    new StaveError("TOO_LARGE", `${subject} has ${size} bytes or more, expected at most ${limit}`, { subject });
  if (announced !== undefined && announced > limit) {
    response.body.destroy();
    throw tooLarge(announced);
  }
  async function* read(): AsyncGenerator<Buffer> {
    let size = 0;
    try {
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        size += chunk.byteLength;
        if (size > limit) throw tooLarge(size);
        yield chunk;
      }
    } catch (cause) {
      throw cause instanceof StaveError ? cause : networkError(request, response.url, cause, response.proxy);
    } finally {
      response.body.destroy();
    }
    if (announced !== undefined && size !== announced) throw sizeMismatch(subject, announced, String(size));
  }
  const stream = Readable.from(read(), { objectMode: false });
  stream.once("close", () => response.body.destroy());
  return stream;
}
