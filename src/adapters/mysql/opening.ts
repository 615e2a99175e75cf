import { lingeringClose } from "../../core/linger.ts";
import type { Clear } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { type Greeting, greetingPayload } from "../../wire/mysql/greeting.ts";
import { mysqlAsksTls } from "../../wire/mysql/login.ts";
import { errorPayload, mysqlPacket } from "../../wire/mysql/packet.ts";
import type { Greetings } from "./greetings.ts";
import { Packets, type Peer } from "./packets.ts";
import { codes } from "./refusals.ts";

/** The number of a client's first packet inside TLS: the greeting and its wish for TLS came before. */
export const firstInside = 2;

/** A client before its login is over; one that went without a word did nothing wrong. */
export const client = (wrong: "not_tls" | "protocol_error"): Peer => ({
  broken: (detail) => new Refusal(wrong, detail),
  closed: () => new Refusal("client_closed", "closed before it was logged in"),
  lost: (error) => error,
});

/** Greets a client that waits for it, and waits for it to begin TLS. Throws a `Refusal`. */
export async function leadToTls(
  connection: Connection,
  { own }: Clear,
  greetings: Greetings,
): Promise<Greeting> {
  const greeting = greetings.invent(own);
  const packets = new Packets(connection, 0, client("not_tls"));
  await packets.write(greetingPayload(greeting));
  if (mysqlAsksTls(await packets.read())) return greeting;
  const message = "TLS is required: the name and the certificate that are shown there say where you may go";
  const error = errorPayload({ ...codes.insecure, message: `sallyport: ${message}` });
  await lingeringClose(connection, mysqlPacket(firstInside, error));
  throw new Refusal("not_tls", "a MySQL client that did not ask for TLS");
}
