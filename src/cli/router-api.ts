import { z } from "zod";
import type { HttpBody, HttpClient } from "../http/exchange.ts";
import { selectRuntime } from "../runtime/select.ts";
import type { ClientPair, RouterAddress } from "./client-options.ts";

const withinMs = 30_000;
const maxBytes = 1 << 20;

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

  private constructor(client: HttpClient, authority: string) {
    this.#client = client;
    this.#authority = authority;
  }

  static async open({ host, port, ca }: RouterAddress, pair: ClientPair | null): Promise<RouterApi> {
    const runtime = await selectRuntime();
    const tls = {
      serverName: host,
      verify: true,
      ca: ca === null ? null : [ca],
      cert: pair?.certificate ?? null,
      key: pair?.key ?? null,
      alpn: "sallyport-auth",
    };
    const dial = () => runtime.dial({ host, port, withinMs, tls });
    return new RouterApi(runtime.httpClient("http/1.1", dial), `${host}:${port}`);
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
      throw new Error(
        `the router at ${this.#authority} can't be asked (${printable(why)}): is it one that issues certificates?`,
      );
    }
    const body = parsed(text);
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
