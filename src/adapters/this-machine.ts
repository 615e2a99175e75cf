import type { Endpoint } from "../types.ts";

/** Whether what is sent there leaves this machine at all. */
export const isThisMachine = ({ address }: Endpoint): boolean =>
  address.startsWith("127.") || address === "::1";
