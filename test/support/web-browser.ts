import { dial, readAll } from "./client.ts";
import { program } from "./programs.ts";
import type { Site } from "./router.ts";
import { run } from "./run.ts";

export interface Answer {
  readonly status: number;
  readonly version: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  /** The first value of a field, `""` without one. */
  field(name: string): string;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of the cookies it has. */
  readonly cookies?: string;
  /** The certificate of that name. */
  readonly as?: string;
  readonly data?: string;
}

/** @param text a character for each byte */
const answerOf = (text: string): Answer => {
  const end = text.indexOf("\r\n\r\n");
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const [, version = "", status = ""] = /^HTTP\/(\S+) (\d{3})/.exec(first) ?? [];
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const field = (name: string): string => fields.find(([one]) => one === name)?.[1] ?? "";
  const rest = text.slice(end + 4);
  const body = /chunked/i.test(field("transfer-encoding")) ? joinedChunks(rest) : rest;
  return {
    status: Number(status),
    version,
    fields,
    body: Buffer.from(body, "latin1").toString(),
    field,
  };
};

/** RFC 9112 §7.1. Throws where it is cut, or is none. */
export function joinedChunks(text: string): string {
  let joined = "";
  for (let at = 0; ; ) {
    const [line, size] = /^([0-9a-f]+)(?:;[^\r\n]*)?\r\n/i.exec(text.slice(at)) ?? [];
    if (line === undefined || size === undefined) throw new Error(`no chunk at ${at} of ${text.length}`);
    const length = Number.parseInt(size, 16);
    if (length === 0) return joined;
    at += line.length;
    joined += text.slice(at, at + length);
    at += length;
    if (text.slice(at, at + 2) !== "\r\n") throw new Error(`a chunk that does not end at ${at}`);
    at += 2;
  }
}

/** What a browser does, without one: it keeps cookies host by host, and follows nothing by itself. */
export class WebBrowser {
  readonly #site: Site;
  readonly #port: () => number;
  readonly #http2: boolean;
  readonly jar = new Map<string, Map<string, string>>();

  constructor(site: Site, port: () => number, version: "HTTP/1.1" | "HTTP/2") {
    this.#site = site;
    this.#port = port;
    this.#http2 = version === "HTTP/2";
  }

  cookiesFor(url: string): string {
    return [...(this.jar.get(new URL(url).hostname) ?? [])]
      .map(([name, value]) => `${name}=${value}`)
      .join("; ");
  }

  /** Any request, as its headers have it. */
  async ask(url: string, asked: Ask = {}): Promise<Answer> {
    const cookies = asked.cookies ?? this.cookiesFor(url);
    const headers = { ...(cookies === "" ? {} : { Cookie: cookies }), ...asked.headers };
    const answer = answerOf(
      await (this.#http2 ? this.#curl(url, asked, headers) : this.#plain(url, asked, headers)),
    );
    const { hostname } = new URL(url);
    const jar = this.jar.get(hostname) ?? new Map<string, string>();
    this.jar.set(hostname, jar);
    for (const [name, value] of answer.fields) {
      if (name !== "set-cookie") continue;
      const [, key = "", text = ""] = /^([^=]+)=([^;]*)/.exec(value) ?? [];
      if (/max-age=0(;|$)/i.test(value)) jar.delete(key);
      else jar.set(key, text);
    }
    return answer;
  }

  async #plain(
    url: string,
    { method = "GET", as, data }: Ask,
    headers: Readonly<Record<string, string>>,
  ): Promise<string> {
    const [, host = "", target = ""] = /^https:\/\/([^/]+)(.*)$/.exec(url) ?? [];
    const socket = await dial(this.#site, this.#port(), host, {
      as: as ?? null,
      ALPNProtocols: ["http/1.1"],
    });
    const all = {
      Host: host,
      Connection: "close",
      ...(data === undefined ? {} : { "Content-Length": String(data.length) }),
      ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n${data ?? ""}`);
    const said = await readAll(socket);
    socket.destroy();
    return said.toString("latin1");
  }

  async #curl(
    url: string,
    { method = "GET", as, data }: Ask,
    headers: Readonly<Record<string, string>>,
  ): Promise<string> {
    const { folder } = this.#site;
    const { out, err } = await run(program("curl"), [
      ...["-sSi", "--max-time", "20", "--http2", "--path-as-is", "--cacert", `${folder}/ca.crt`],
      ...["--connect-to", `::127.0.0.1:${this.#port()}`],
      ...(as === undefined ? [] : ["--cert", `${folder}/${as}.crt`, "--key", `${folder}/${as}.key`]),
      ...(method === "HEAD" ? ["--head"] : ["--request", method]),
      ...(data === undefined ? [] : ["--data-raw", data]),
      ...Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
      url,
    ]);
    if (!out.startsWith("HTTP/2")) throw new Error(`${url}: ${err}${out}`);
    return Buffer.from(out).toString("latin1");
  }

  /** Somebody opens a page, or follows a link. */
  open(url: string, more: Ask = {}): Promise<Answer> {
    return this.ask(url, {
      ...more,
      headers: {
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
        Accept: "text/html",
        ...more.headers,
      },
    });
  }
}
