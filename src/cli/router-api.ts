import { z } from "zod";
import type { HttpBody, HttpClient } from "../http/exchange.ts";
import type { ClientPair, RouterLink } from "../local/link.ts";
import type { Runtime } from "../types.ts";

const withinMs = 30_000;
const maxBytes = 8 << 20;

const answerOf = z.object({ error: z.object({ reason: z.string(), detail: z.string() }) });

/** What a router says may hold anything; a terminal should be shown text. */
const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, " ").slice(0, 500);

async function read(body: HttpBody | null): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`the router answers with more than ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

async function* once(bytes: Uint8Array): HttpBody {
  yield bytes;
}

/** The router's API, over TLS that is verified, with a client certificate where one is needed. */
export class RouterApi {
  readonly #client: HttpClient;
  readonly #authority: string;

  constructor(runtime: Runtime, link: RouterLink, pair: ClientPair | null) {
    this.#client = runtime.httpClient("http/1.1", () => link.dial(link.host, "sallyport-auth", pair));
    this.#authority = link.name;
  }

  /** Rejects with words for people where the router can't be reached, refuses, or answers with something else. */
  async ask<T>(method: "GET" | "POST", target: string, schema: z.ZodType<T>, json?: unknown): Promise<T> {
    const bytes = json === undefined ? null : new TextEncoder().encode(JSON.stringify(json));
    let status: number;
    let text: string;
    try {
      const response = await this.#client.request({
        method,
        target,
        authority: this.#authority,
        fields:
          bytes === null
            ? []
            : [
                ["content-type", "application/json"],
                ["content-length", String(bytes.length)],
              ],
        body: bytes === null ? null : once(bytes),
        signal: AbortSignal.timeout(withinMs),
      });
      status = response.status;
      text = await read(response.body);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`the router at ${this.#authority} can't be asked: ${printable(why)}`);
    }
    const body = parsed(text);
    if (status === 404)
      throw new Error(
        `the router at ${this.#authority} has no ${target}: is it one that issues certificates?`,
      );
    if (status >= 400) {
      const refused = answerOf.safeParse(body);
      throw new Error(
        refused.success
          ? `refused: ${printable(refused.data.error.reason)}: ${printable(refused.data.error.detail)}`
          : `the router answers ${status}`,
      );
    }
    const result = schema.safeParse(body);
    if (!result.success) throw new Error(`the router answers ${method} ${target} with something else`);
    return result.data;
  }

  close(): void {
    this.#client.close();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
