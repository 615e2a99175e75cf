import type { Front } from "./front.ts";

/** Bytes are bytes. The router is dialled at once: the server may speak first. */
export const plainFront: Front = {
  open: async (client, back) => [client, await back.dial()],
};
