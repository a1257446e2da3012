// Reads the JSON documents of signatures: strictly, because two readers that understand a document differently can be
// played against each other. Keys that occur twice are refused, and so is base64 with more than one spelling.
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { parseJsonBytes } from "../../spack/text/json.ts";

/** The schema of bytes in base64: one spelling for the same bytes. */
export function base64Schema(limit: number): z.ZodType<Buffer> {
  return z
    .string()
    .max(Math.ceil(limit / 3) * 4)
    .transform((text, context) => {
      const bytes = Buffer.from(text, "base64");
      if (bytes.toString("base64") === text) return bytes;
      context.addIssue({ code: "custom", message: "expected base64" });
      return z.NEVER;
    });
}

/** Parses a JSON document of a signature. Throws SIGNATURE_INVALID, naming it and what is wrong. */
export function readDocument<T>(bytes: Uint8Array, schema: z.ZodType<T>, name: string): T {
  const result = schema.safeParse(parseJsonBytes(bytes, { name, code: "SIGNATURE_INVALID" }));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "the top level" : issue.path.map(String).join(".");
  throw new StaveError(
    "SIGNATURE_INVALID",
    `${name} is invalid at ${printable(place)}: ${printable(issue?.message ?? "wrong shape")}`,
    { subject: name },
  );
}
