import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const page = (text: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sallyport</title><p>${text}</p></html>`;

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    connection: "close",
  });
  response.end(page(text));
}

export interface Loopback {
  /** The redirect URI (RFC 8252 §7.3). */
  readonly uri: string;
  /** The URL that the browser came back with. */
  readonly redirected: Promise<URL>;
  close(): void;
}

/**
 * Waits on this machine for the browser to come back from the provider. Only a visit with our own state counts:
 * any page can send a browser here.
 */
export async function listenForRedirect(state: string, port: number): Promise<Loopback> {
  let arrived: (url: URL) => void = () => {};
  const redirected = new Promise<URL>((resolve) => {
    arrived = resolve;
  });
  const server = createServer((request, response) => {
    // Put together, not resolved: `//other/path` is a path here, and anybody on this machine may ask for it.
    const url = new URL(`${new URL(uri).origin}${request.url?.startsWith("/") ? request.url : "/"}`);
    if (request.method !== "GET" || url.pathname !== "/callback")
      return answer(response, 404, "Nothing is here.");
    if (url.searchParams.get("state") !== state)
      return answer(response, 400, "This is not the login that was begun here.");
    answer(response, 200, "Back to the terminal: this window can be closed.");
    arrived(url);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`;
  return {
    uri,
    redirected,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
