import type { Connection, EventedConnection, PushedConnection } from "../types.ts";

/** Whether a connection gives its bytes as events: what the faster relay needs of both its sides. */
export const isEvented = (connection: Connection): connection is EventedConnection => "pipeTo" in connection;

/** Whether a connection takes bytes without waiting. */
export const isPushed = (connection: Connection): connection is PushedConnection => "push" in connection;
