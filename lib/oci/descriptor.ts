// Descriptors (OCI image-spec, "Content Descriptors") and their schema. No I/O.
import * as z from "zod";
import { type Digest, digestSchema } from "./digest.ts";
import { platformSchema } from "./platform.ts";

/** Identifies content by media type, digest and size in bytes. */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  size: number;
  annotations?: Record<string, string> | undefined;
  platform?: z.infer<typeof platformSchema> | undefined;
  artifactType?: string | undefined;
  urls?: string[] | undefined;
}

/** The schema of a descriptor; unknown keys are kept, because they are part of the author's bytes. */
export const descriptorSchema: z.ZodType<Descriptor> = z.looseObject({
  mediaType: z.string().min(1).max(255),
  digest: digestSchema,
  // JSON has -0, which is written back as 0: a document that says it would not keep its digest.
  size: z
    .number()
    .int()
    .nonnegative()
    .max(Number.MAX_SAFE_INTEGER)
    .refine((size) => !Object.is(size, -0), "expected a size"),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: platformSchema.optional(),
  artifactType: z.string().max(255).optional(),
  urls: z.array(z.string()).optional(),
  data: z.string().optional(),
});
