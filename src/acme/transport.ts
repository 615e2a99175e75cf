import type { HttpClient } from "../http/exchange.ts";
import type { Runtime } from "../types.ts";
import { version } from "../version.ts";
import { AcmeProblem, problemText, retryAfterMs } from "./problem.ts";

/** For a connection, TLS included; and for an answer. */
const patienceMs = 30_000;
/** A chain is a few kilobytes; so is a directory. */
const maxBytes = 1024 * 1024;

const badNonce = "urn:ietf:params:acme:error:badNonce";

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string | null;
}

export interface Answer {
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Requests to an authority's server, over connections of the runtime's, bounded in time and size. */
export class AcmeTransport {
  readonly #runtime: Runtime;
  readonly #ca: readonly string[] | null;
  readonly #signal: AbortSignal;
  readonly #clients = new Map<string, HttpClient>();

  /** @param ca trust anchors for the server, PEM; `null`: the system's */
  constructor(runtime: Runtime, ca: readonly string[] | null, signal: AbortSignal) {
    this.#runtime = runtime;
    this.#ca = ca;
    this.#signal = signal;
  }

  /** Rejects with an `AcmeProblem` where the authority has one, but for a nonce it does not know any more. */
  async request({ method, url, fields, body }: Asked): Promise<Answer> {
    this.#signal.throwIfAborted();
    // The authority says where its resources are; it can't send us anywhere without TLS.
    const target = URL.canParse(url) ? new URL(url) : null;
    if (target?.protocol !== "https:") throw new AcmeProblem("the authority names a URL that is no https://");
    const bytes = body === null ? null : new TextEncoder().encode(body);
    const answer = await this.#client(target).request({
      method,
      target: `${target.pathname}${target.search}`,
      authority: target.host,
      fields: [
        ...Object.entries(fields).filter(
          ([name]) => !["host", "content-length", "user-agent"].includes(name),
        ),
        // RFC 8555 §6.1 asks for one.
        ["user-agent", `sallyport/${version}`],
        ...(bytes === null ? [] : [["content-length", String(bytes.length)] as const]),
      ],
      body: bytes === null ? null : once(bytes),
      signal: this.#signal,
      limits: { answerMs: patienceMs, silenceMs: patienceMs },
    });
    const found = Object.fromEntries(answer.fields);
    const text = await textOf(answer.body);
    this.#refuseProblem(answer.status, found, text);
    return { status: answer.status, fields: found, text };
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #refuseProblem(status: number, fields: Readonly<Record<string, string>>, text: string): void {
    if (status < 400) return;
    const document = /json/.test(fields["content-type"] ?? "") ? parsed(text) : null;
    if ((document as { readonly type?: unknown } | null)?.type === badNonce) return;
    const words = problemText(document) ?? `the authority answers ${status}`;
    throw new AcmeProblem(words, retryAfterMs(fields["retry-after"], Date.now()));
  }

  #client({ hostname, port, host }: URL): HttpClient {
    let client = this.#clients.get(host);
    if (client === undefined) {
      const name = hostname.replace(/^\[(.*)\]$/, "$1");
      client = this.#runtime.httpClient("http/1.1", (alpn) =>
        this.#runtime.dial({
          host: name,
          port: port === "" ? 443 : Number(port),
          withinMs: patienceMs,
          tls: { serverName: name, verify: true, ca: this.#ca, cert: null, key: null, alpn },
        }),
      );
      this.#clients.set(host, client);
    }
    return client;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function textOf(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new AcmeProblem(`the authority answers with more than ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
