import { inspect } from "../../core/inspect.ts";
import { lingeringClose } from "../../core/linger.ts";
import type { Connection } from "../../types.ts";
import { mysqlGoesOn, mysqlPhaseEnds } from "../../wire/mysql/auth.ts";
import { mysqlOffersTls, mysqlWithTls } from "../../wire/mysql/greeting.ts";
import { mysqlAsksTls, mysqlWithoutTls } from "../../wire/mysql/login.ts";
import { type MysqlPacket, mysqlError, mysqlPacket, parseMysqlPacket } from "../../wire/mysql/packet.ts";
import { type Back, type Front, ToldClient } from "./front.ts";

/** One packet, with what came behind it put back; `null` when the stream ended or is none of MySQL's. */
async function packetFrom(connection: Connection): Promise<MysqlPacket | null> {
  const read = await inspect(connection, parseMysqlPacket);
  if (read.kind !== "ok") return null;
  connection.unread(read.head.subarray(read.used));
  return read.value;
}

/**
 * With TLS here and none behind, the client has sent one packet more than the server knows of: numbers are one apart
 * until the server says that the connection phase is over, and begin anew with every command then.
 */
async function authenticate(client: Connection, server: Connection): Promise<boolean> {
  for (;;) {
    const answer = await packetFrom(server);
    if (answer === null) return false;
    await client.write(mysqlPacket(answer.sequence + 1, answer.payload));
    if (mysqlPhaseEnds(answer.payload)) return true;
    if (mysqlGoesOn(answer.payload)) continue;
    const reply = await packetFrom(client);
    if (reply === null) return false;
    await server.write(mysqlPacket(reply.sequence - 1, reply.payload));
  }
}

async function refuse(client: Connection, message: string): Promise<never> {
  await lingeringClose(client, mysqlError(`sallyport: ${message}`));
  throw new ToldClient(message);
}

async function withLocalTls(
  client: Connection,
  server: Connection,
  greeting: MysqlPacket,
  back: Back,
): Promise<readonly [Connection, Connection] | null> {
  await client.write(mysqlPacket(greeting.sequence, mysqlWithTls(greeting.payload)));
  const asked = await packetFrom(client);
  if (asked === null) return null;
  if (!mysqlAsksTls(asked.payload)) {
    await server.write(mysqlPacket(asked.sequence, asked.payload));
    return [client, server];
  }
  const secured = await back.terminate(client, null);
  const response = await packetFrom(secured);
  if (response === null) return null;
  await server.write(mysqlPacket(response.sequence - 1, mysqlWithoutTls(response.payload)));
  return (await authenticate(secured, server)) ? [secured, server] : null;
}

/**
 * Offers TLS to the client where the server behind does not. Where the server does, its own is left to run end to
 * end inside ours.
 */
export const mysqlFront: Front = {
  async open(client, back) {
    let server: Connection;
    try {
      server = await back.dial();
    } catch (error) {
      return refuse(client, error instanceof Error ? error.message : String(error));
    }
    try {
      const greeting = await packetFrom(server).catch(() => null);
      if (greeting === null && server.bytesRead === 0) return await refuse(client, await back.why());
      if (greeting !== null && mysqlOffersTls(greeting.payload) === false) {
        const joined = await withLocalTls(client, server, greeting, back);
        if (joined === null) server.abort();
        return joined;
      }
      if (greeting !== null) server.unread(mysqlPacket(greeting.sequence, greeting.payload));
      return [client, server];
    } catch (error) {
      server.abort();
      throw error;
    }
  },
};
