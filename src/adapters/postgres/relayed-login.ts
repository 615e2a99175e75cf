import type { Connection } from "../../types.ts";
import type { Authenticator } from "./authenticator.ts";
import { Messages, WireError } from "./messages.ts";
import { refusal, states, violation } from "./refusal.ts";
import type { Upstream } from "./upstream.ts";
import { authenticationSasl, channelBindingFlag, type Message, message } from "./wire.ts";

/** Longer than any answer a server takes (`PG_MAX_AUTH_TOKEN_LENGTH`). */
const maxAnswer = 65_540;

/**
 * Has the client log in itself: what the upstream asks goes to it, and its answer back.
 *
 * @param send puts a message on its way to the client
 */
export function relayedLogin(
  client: Connection,
  upstream: Upstream,
  send: (message: Uint8Array) => Promise<void>,
): Authenticator {
  const fromClient = new Messages(client, maxAnswer);

  async function reply(): Promise<Message> {
    let answer: Message | null;
    try {
      answer = await fromClient.next();
    } catch (error) {
      throw error instanceof WireError ? violation(error.message) : error;
    }
    if (answer === null)
      throw refusal("client_closed", states.violation, "closed when it was asked to log in");
    if (answer.type !== "p") throw violation("the login expected a password or SASL message");
    return answer;
  }
  async function relayed(asked: Uint8Array): Promise<void> {
    await send(asked);
    await upstream.connection.write((await reply()).whole);
  }

  return {
    async answer(asked) {
      switch (asked.kind) {
        case "ok":
          return;
        case "cleartext":
          return relayed(message("R", Uint8Array.of(0, 0, 0, 3)));
        case "md5":
          return relayed(message("R", Uint8Array.of(0, 0, 0, 5), asked.salt));
        case "sasl": {
          // Channel binding is to the TLS of two ends, and there are two of them on this way.
          await send(authenticationSasl(asked.mechanisms.filter((name) => !name.endsWith("-PLUS"))));
          const first = await reply();
          if (upstream.encrypted && channelBindingFlag(first.body) !== "n") {
            const sentence =
              "the database would take the router for an impostor: connect with channel_binding=disable";
            throw refusal("protocol_error", states.unauthorized, sentence);
          }
          return upstream.connection.write(first.whole);
        }
        case "sasl-continue":
          return relayed(message("R", Uint8Array.of(0, 0, 0, 11), asked.data));
        case "sasl-final":
          return send(message("R", Uint8Array.of(0, 0, 0, 12), asked.data));
        default: {
          const sentence = `the database asks for a login of kind ${asked.code}, which does not pass the router`;
          throw refusal("upstream_refused", states.unsupported, sentence);
        }
      }
    },
    release: () => fromClient.release(),
  };
}
