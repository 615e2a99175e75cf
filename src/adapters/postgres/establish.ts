import { Refusal } from "../../errors.ts";
import type { Asked } from "./asked.ts";
import type { Authenticator } from "./authenticator.ts";
import { Messages, WireError } from "./messages.ts";
import { refusal, states, ToldRefusal } from "./refusal.ts";
import type { Upstream } from "./upstream.ts";
import {
  authenticationOk,
  type CancelKey,
  encodeKey,
  encodeNegotiated,
  encodeStartup,
  type Message,
  parseAuthentication,
  parseError,
  parseKey,
  parseNegotiated,
} from "./wire.ts";

/** No message of a login is as long. */
const maxMessage = 65_536;

const notPostgres = (detail: string) =>
  refusal("upstream_refused", states.rejected, "the database does not answer as Postgres does", detail);

/** The way to the client: messages that come together go together. */
export interface Outbox {
  add(message: Uint8Array): void;
  flush(): Promise<void>;
}

/** A login under way. */
export interface Login {
  readonly asked: Asked;
  /** What the client's protocol version was before it was brought down to ours. */
  readonly minor: number;
  readonly upstream: Upstream;
  readonly authenticator: Authenticator;
  readonly client: Outbox;
  /** The client's key in place of the upstream's. */
  issue(real: CancelKey): CancelKey;
}

async function nextOf(messages: Messages): Promise<Message> {
  let message: Message | null;
  try {
    message = await messages.next();
  } catch (error) {
    if (error instanceof WireError) throw notPostgres(error.message);
    throw notPostgres("it broke the connection during the login");
  }
  if (message === null) throw notPostgres("it closed during the login");
  return message;
}

/** Takes a session from its startup message to where the upstream is ready for its first query. Throws a refusal. */
export async function establish(login: Login): Promise<void> {
  const { asked, minor, upstream, authenticator, client } = login;
  const { startup } = asked;
  const messages = new Messages(upstream.connection, maxMessage);
  await upstream.connection.write(encodeStartup(startup));

  // What we leave out of the startup message, the client must hear of; so must it what the upstream does not know.
  let negotiated =
    startup.minor < minor || asked.unknown.length > 0
      ? { version: 0x30000 + startup.minor, unknown: asked.unknown }
      : null;
  let authenticated = false;
  for (;;) {
    if (!messages.ready) await client.flush();
    const message = await nextOf(messages);
    switch (message.type) {
      case "v": {
        const answer = parseNegotiated(message.body);
        if (answer === undefined || authenticated) throw notPostgres("it negotiates in a way of its own");
        negotiated = { version: answer.version, unknown: [...asked.unknown, ...answer.unknown] };
        break;
      }
      case "R": {
        const question = parseAuthentication(message.body);
        if (question === undefined || authenticated) throw notPostgres("its login is none of Postgres's");
        if (negotiated !== null) client.add(encodeNegotiated(negotiated));
        negotiated = null;
        await authenticator.answer(question);
        if (question.kind !== "ok") break;
        authenticated = true;
        client.add(authenticationOk);
        break;
      }
      case "E": {
        const { severity, code, message: text } = parseError(message.body);
        const detail = `the upstream refused the login: ${severity} ${code} ${text}`;
        throw new ToldRefusal("upstream_refused", detail, message.whole);
      }
      case "N":
        client.add(message.whole);
        break;
      case "S":
        if (!authenticated) throw notPostgres("it goes on without a login");
        client.add(message.whole);
        break;
      case "K": {
        const key = parseKey(message.body);
        if (key === undefined || !authenticated) throw notPostgres("its key is none");
        client.add(encodeKey(login.issue(key)));
        break;
      }
      case "Z":
        if (!authenticated) throw notPostgres("it goes on without a login");
        client.add(message.whole);
        await client.flush();
        messages.release();
        authenticator.release();
        return;
      default:
        throw notPostgres(`it sent ${JSON.stringify(message.type)} during the login`);
    }
  }
}

/** What the client is told of a refusal that says more than is its business. */
export function told(error: unknown, route: string): unknown {
  if (error instanceof ToldRefusal || !(error instanceof Refusal)) return error;
  const { reason, message } = error;
  if (reason === "upstream_unreachable")
    return refusal(reason, states.unreachable, `the database of route ${route} can't be reached`, message);
  if (reason === "upstream_refused") {
    const sentence = `the database of route ${route} does not take the router's connection`;
    return refusal(reason, states.unreachable, sentence, message);
  }
  return error;
}
