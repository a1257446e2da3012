// What `stave verify` prints about signatures.
import type { CheckSignaturesReport } from "../../ops/sign/check-signatures.ts";
import { printable } from "../../printable/printable.ts";
import { count } from "./formatting.ts";
import type { Output } from "./output.ts";

/** The lines for one place: what is not signed, the signer of a single image, and a total. */
export function* signatureLines({ target, images, signed }: CheckSignaturesReport, output: Output): Iterable<string> {
  const { verbose } = output.options;
  for (const { reference, digest, signature, error } of images) {
    if (error !== undefined) {
      yield `${output.style("red", error.code)}: ${printable(error.message)}`;
      if (images.length === 1 && error.hint !== undefined) yield `  hint: ${printable(error.hint)}`;
    } else if (signature !== undefined && (images.length === 1 || verbose)) {
      const when = signature.time === undefined ? "" : `, on ${new Date(signature.time).toISOString()} as it says`;
      yield `${printable(reference)} ${digest}: signed by ${printable(signature.signer)} (key ${signature.key.slice(0, 12)})${when}`;
    }
  }
  if (images.length > 1) yield `${printable(target)}: ${signed} of ${count(images.length, "image")} signed`;
}
