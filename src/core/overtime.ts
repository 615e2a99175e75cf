import { Refusal } from "../errors.ts";

/** What ends a connection that took longer than it may, in milliseconds. */
export const overtime = {
  handshake: (ms: number): Refusal =>
    new Refusal("handshake_timeout", `no finished handshake within ${ms} ms`),
  session: (ms: number): Refusal =>
    new Refusal("limit_reached", `it was open for ${ms} ms, and may be no longer`),
};
