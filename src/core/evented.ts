import type { Connection, EventedConnection } from "../types.ts";

/** Whether a connection gives its bytes as events: what the faster relay needs of both its sides. */
export const isEvented = (connection: Connection): connection is EventedConnection => "pipeTo" in connection;
