import type { z } from "zod";

/** A variable of the environment: what it takes, what it is when unset, what it means. */
export interface Variable<T> {
  readonly schema: z.ZodType<T, string>;
  /** As it would be written; `null`: unset. */
  readonly fallback: string | null;
  readonly meaning: string;
}

export const variable = <T>(
  schema: z.ZodType<T, string>,
  fallback: string | null,
  meaning: string,
): Variable<T> => ({
  schema,
  fallback,
  meaning,
});
