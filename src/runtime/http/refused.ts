import { Refusal } from "../../errors.ts";

/** What went wrong with an upstream, as a refusal. */
export const refused = (error: Error): Refusal =>
  error instanceof Refusal ? error : new Refusal("upstream_refused", error.message, { cause: error });
