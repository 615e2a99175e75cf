/**
 * The least that Node's own HTTP needs to pass requests on, on Node and Deno: TLS and HTTP/1.1 or HTTP/2 on one side,
 * HTTP/1.1 on kept connections on the other. No checks, no fields of ours, no records, no limits and no patience.
 */
import { readFileSync } from "node:fs";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { createSecureServer } from "node:http2";

const host = "127.0.0.1";
const forOneHop = /^(:.*|connection|keep-alive|transfer-encoding)$/;
const endToEnd = (headers: IncomingHttpHeaders): IncomingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !forOneHop.test(name)));

export function forwardHttp(port: string | undefined, upstream: string | undefined, folder: string): void {
  const agent = new Agent({ keepAlive: true });
  const pem = (name: string): string => readFileSync(`${folder}/${name}`, "utf8");
  createSecureServer(
    { cert: pem("server.crt"), key: pem("server.key"), allowHTTP1: true },
    (asked, answer) => {
      const { method, url: path, headers } = asked;
      const asking = request(
        { agent, host, port: Number(upstream), method, path, headers: endToEnd(headers) },
        (heard) => {
          answer.writeHead(heard.statusCode ?? 502, endToEnd(heard.headers));
          heard.pipe(answer);
        },
      );
      asking.on("error", () => answer.stream?.close());
      if (method === "GET") asking.end();
      else asked.pipe(asking);
    },
  ).listen(Number(port), host);
}
