import { z } from "zod";
import { EnrolmentRefusal } from "./refusal.ts";

const schema = z.strictObject({
  /** PKCS #10 in PEM. */
  csr: z.string(),
  join_token: z.string().exactOptional(),
  id_token: z.string().exactOptional(),
  /** An SSH key to be certified too. */
  ssh: z.strictObject({ public_key: z.string().max(1024), proof: z.string().max(128) }).exactOptional(),
});

/** The body of `POST /v1/certificates`. */
export type Application = z.output<typeof schema>;

/** Reads it. Throws an `EnrolmentRefusal`. */
export function readApplication(body: unknown): Application {
  if (typeof body !== "object")
    throw new EnrolmentRefusal("request_invalid", "body: expected JSON, with Content-Type: application/json");
  const read = schema.safeParse(body);
  if (!read.success) {
    const [issue] = read.error.issues;
    const where = issue?.path.join(".") || "body";
    throw new EnrolmentRefusal("request_invalid", `${where}: ${issue?.message ?? "is not understood"}`);
  }
  if (read.data.join_token !== undefined && read.data.id_token !== undefined)
    throw new EnrolmentRefusal("request_invalid", "body: expected one of join_token and id_token");
  return read.data;
}
