import assert from "node:assert/strict";
import { Refusal } from "../../src/errors.ts";
import { Gone } from "../../src/http/cancellation.ts";
import type { HttpBody, HttpClientRequest, HttpClientResponse } from "../../src/http/exchange.ts";
import { Http1Client } from "../../src/runtime/http/http1-client.ts";
import type { FakeConnection } from "./fake-connection.ts";

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A client whose connections' other ends are at hand. */
export class Table {
  readonly connections: FakeConnection[] = [];
  readonly client: Http1Client;
  overs = 0;

  constructor(Kind: typeof FakeConnection) {
    this.client = new Http1Client(async () => {
      const connection = new Kind();
      this.connections.push(connection);
      return connection;
    });
  }

  at(nth: number): FakeConnection {
    return this.connections[nth] ?? assert.fail(`there is no connection ${nth}`);
  }

  /** Resolves once the request is out as far as it goes by itself. */
  async ask(request: Partial<HttpClientRequest> = {}): Promise<{ answer: Promise<HttpClientResponse> }> {
    const answer = this.client.request({
      method: "GET",
      target: "/",
      authority: "app.test",
      fields: [],
      body: null,
      signal: new Gone(),
      over: () => {
        this.overs++;
      },
      ...request,
    });
    answer.catch(() => {});
    await turn();
    await turn();
    return { answer };
  }

  /** Asks, and has it answered on the last connection. */
  async answered(text: string): Promise<string> {
    const { answer } = await this.ask();
    this.at(this.connections.length - 1).say(text);
    return textOf(await answer);
  }
}

export async function textOf({ body }: HttpClientResponse): Promise<string> {
  let text = "";
  for await (const part of body ?? []) text += Buffer.from(part).toString("latin1");
  return text;
}

export const refusedWith =
  (reason: string, detail = /./) =>
  (error: unknown): true => {
    assert.ok(error instanceof Refusal, String(error));
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, detail);
    return true;
  };

/** A body whose parts are given one by one. */
export class Source implements HttpBody {
  asked = 0;
  left = false;
  readonly #parts: (Uint8Array | null | Error)[] = [];
  #wake: () => void = () => {};

  give(part: string | null | Error): void {
    this.#parts.push(typeof part === "string" ? Buffer.from(part) : part);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        this.asked++;
        while (this.#parts.length === 0)
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        const part = this.#parts.shift() ?? null;
        if (part === null) return;
        if (part instanceof Error) throw part;
        yield part;
      }
    } finally {
      this.left = true;
    }
  }
}
