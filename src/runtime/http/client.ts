import type {
  HttpClient,
  HttpClientRequest,
  HttpClientResponse,
  HttpDial,
  HttpProtocol,
} from "../../http/exchange.ts";
import { dialled } from "../../http/unsent.ts";
import type { Connection } from "../../types.ts";
import { Http1Client } from "./http1-client.ts";
import { Http2Client } from "./http2-client.ts";

/** HTTP over connections that `dial` makes. */
export function httpClient(protocol: HttpProtocol, dial: HttpDial): HttpClient {
  if (protocol === "h2") return new Http2Client("http", () => dial(["h2"]));
  if (protocol === "http/1.1") return new Http1Client(() => dial(["http/1.1"]));
  return new NegotiatedClient(dial);
}

const alpnOf = (connection: Connection): string | null =>
  "alpn" in connection && typeof connection.alpn === "string" ? connection.alpn : null;

/** Speaks what the upstream chooses in TLS (RFC 7301), connection by connection. */
class NegotiatedClient implements HttpClient {
  readonly #dial: HttpDial;
  readonly #http1: Http1Client;
  readonly #http2: Http2Client;
  /** What the upstream chose last. */
  #chosen: "h2" | "http/1.1" | null = null;
  #asking: Promise<void> | undefined;

  constructor(dial: HttpDial) {
    this.#dial = dial;
    // Switching protocols is HTTP/1.1's: its connections ask for nothing else.
    this.#http1 = new Http1Client(() => dial(["http/1.1"]));
    this.#http2 = new Http2Client("https", () => dial(["h2"]));
  }

  async request(request: HttpClientRequest): Promise<HttpClientResponse> {
    if (request.upgrade !== undefined) return this.#http1.request(request);
    if (this.#chosen === null || (this.#chosen === "h2" && !this.#http2.isOpen)) {
      // One asks for all that come meanwhile: they may all fit into its one connection.
      this.#asking ??= this.#ask().finally(() => {
        this.#asking = undefined;
      });
      await this.#asking;
    }
    return this.#chosen === "h2" ? this.#http2.request(request) : this.#http1.request(request);
  }

  async #ask(): Promise<void> {
    const connection = await dialled(() => this.#dial(["h2", "http/1.1"]));
    if (alpnOf(connection) === "h2") {
      this.#chosen = "h2";
      this.#http2.offer(connection);
    } else {
      this.#chosen = "http/1.1";
      this.#http1.offer(connection);
    }
  }

  close(): void {
    this.#http1.close();
    this.#http2.close();
  }
}
