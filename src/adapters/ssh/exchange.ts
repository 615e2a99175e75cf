import { deadline } from "../../core/deadline.ts";
import { inspect } from "../../core/inspect.ts";
import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { joined } from "../../wire/joined.ts";
import { parseIdentification } from "../../wire/ssh-identification.ts";
import { farewell } from "./farewell.ts";
import { disconnectFor, ownIdentification } from "./refusals.ts";

type Side = "client" | "server";

/** What it is called where a side speaks something else, or closes. */
const faults = {
  client: { wrong: "protocol_error", closed: "client_closed" },
  server: { wrong: "upstream_refused", closed: "upstream_refused" },
} as const;

/** The first words of somebody who doesn't speak SSH, for the record. */
function firstWords(head: Uint8Array): string {
  const text = String.fromCharCode(...head.subarray(0, 80))
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim();
  return text === "" ? "" : `: it said ${JSON.stringify(text)}`;
}

/**
 * The identifications of both sides (RFC 4253 §4.2), each handed on once it is whole: what each side says after its
 * own waits for the other's. So nothing else has passed where a client is refused, and it can still be told.
 */
export class Exchange {
  readonly #session: Session;
  /** Who has identified itself, with what. */
  readonly #software: Record<Side, string | null> = { client: null, server: null };
  /** Somebody was found wanting: nothing is handed on any more. */
  #over = false;
  /** Settles once the client's identification is not waited for any more. */
  #readingClient: Promise<unknown> = Promise.resolve();

  constructor(session: Session) {
    this.#session = session;
  }

  /** Both at once, for either side may be one that waits for the other. Throws a `Refusal`. */
  async run(upstream: Connection, withinMs: number): Promise<void> {
    const { client } = this.#session;
    const fromClient = this.#identify("client", client, upstream);
    const fromServer = this.#identify("server", upstream, client);
    this.#readingClient = fromClient.catch(() => {});
    let tooLate: (refusal: Refusal) => void = () => {};
    const limit = new Promise<never>((_, reject) => {
      tooLate = reject;
    });
    const timer = deadline(withinMs, () => {
      const silent = this.#software.server === null ? "server" : "client";
      const detail = `the ${silent} sent no SSH identification within ${withinMs} ms`;
      tooLate(new Refusal(faults[silent].wrong, detail));
    });
    try {
      await Promise.race([Promise.all([fromClient, fromServer]), limit]);
    } catch (error) {
      this.#over = true;
      upstream.abort();
      throw error;
    } finally {
      timer.cancel();
      this.#session.identified({ ...this.#software });
    }
  }

  async #identify(side: Side, from: Connection, to: Connection): Promise<void> {
    const fault = faults[side];
    const read = await inspect(from, (bytes) => parseIdentification(bytes, side)).catch((error) => {
      throw new Refusal(fault.closed, `the ${side} broke the connection`, { cause: error });
    });
    const { head } = read;
    if (read.kind === "closed") {
      const detail = `the ${side} closed the connection without an SSH identification`;
      throw new Refusal(fault.closed, detail + firstWords(head));
    }
    if (read.kind === "no")
      throw new Refusal(fault.wrong, `the ${side} sent ${read.detail}${firstWords(head)}`);
    if (head.length > read.used) from.unread(head.subarray(read.used));
    if (this.#over) return;
    this.#software[side] = read.value.software;
    // Where the other side is gone, reading from it says so.
    await to.write(head.slice(0, read.used)).catch(() => {});
  }

  /** Says why, as an SSH server says it, in the server's place where it has not spoken yet. */
  async tell(refusal: Refusal): Promise<void> {
    if (refusal.reason === "client_closed") return;
    const { client, id } = this.#session;
    const packet = disconnectFor(refusal, id);
    const greeted = this.#software.server !== null;
    await farewell(client, greeted ? packet : joined([ownIdentification, packet]), this.#readingClient);
  }
}
