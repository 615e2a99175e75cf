import { MessageEnds } from "./message-ends.ts";

/** What a server answers with ReadyForQuery, one each: a query or function call, or a Sync. */
type Request = "query" | "sync";

/** So many may wait for their answers; a session with more is not followed any further. */
const maxWaiting = 1000;
const idle = "I".charCodeAt(0);

/**
 * Knows whether a session past its login has nothing under way: everything that was asked is answered, outside of a
 * transaction, and no message is half sent (PostgreSQL documentation, "Message Flow"). Where it can't be sure it says
 * no, from then on.
 */
export class Turns {
  #waiting: Request[] = [];
  /** Something of the extended protocol has come, and no Sync behind it. */
  #open = false;
  /** After an error in the extended protocol, the server passes over everything up to a Sync. */
  #skipping = false;
  /** In COPY FROM STDIN it passes over Syncs until the copy ends. */
  #copying = false;
  #inTransaction = false;
  #lost = false;
  readonly #client = new MessageEnds("QFSPBEDCHcf", (type) => this.#asked(type));
  readonly #server = new MessageEnds("ZEGW", (type, last) => this.#answered(type, last));

  client(bytes: Uint8Array): void {
    if (!this.#lost && !this.#client.take(bytes)) this.#lose();
  }

  server(bytes: Uint8Array): void {
    if (!this.#lost && !this.#server.take(bytes)) this.#lose();
  }

  get atRest(): boolean {
    return (
      !(this.#lost || this.#inTransaction || this.#open || this.#copying) &&
      this.#waiting.length === 0 &&
      this.#client.between &&
      this.#server.between
    );
  }

  #lose(): void {
    this.#lost = true;
    this.#waiting = [];
  }

  #asked(type: string): void {
    if (type === "c" || type === "f") this.#copying = false;
    else if (this.#copying) {
      // Syncs and Flushes are passed over; anything else is an error whose end depends on what comes when.
      if (type !== "S" && type !== "H") this.#lose();
    } else if (type === "S") {
      this.#open = false;
      this.#skipping = false;
      this.#wait("sync");
    } else if (type === "Q" || type === "F") {
      if (!this.#skipping) this.#wait("query");
    } else this.#open = true;
  }

  #wait(request: Request): void {
    this.#waiting.push(request);
    if (this.#waiting.length > maxWaiting) this.#lose();
  }

  #answered(type: string, last: number): void {
    if (type === "Z") {
      // An answer to nothing: something was not understood.
      if (this.#waiting.shift() === undefined) this.#lose();
      this.#inTransaction = last !== idle;
      this.#copying = false;
    } else if (type === "E") {
      // Which of the Syncs under way the copy had passed over by then can't be told.
      if (this.#copying) this.#lose();
      if (this.#waiting.length === 0) this.#skipping = true;
    } else if (type === "G") this.#copyBegins();
    // A stream both ways without an end: replication.
    else this.#lose();
  }

  #copyBegins(): void {
    this.#copying = true;
    if (this.#waiting.length > 1) this.#lose();
    // The Sync that came with the statement is the copy's, and passed over.
    else if (this.#waiting[0] === "sync") this.#waiting = [];
  }
}
