import { Refusal } from "../errors.ts";
import { receive } from "../tunnel/exchange.ts";
import type { Connection, Runtime } from "../types.ts";
import { connectRequest, parseProxyAnswer } from "../wire/http-connect.ts";

/** An HTTP proxy through which connections go out. */
export interface HttpProxy {
  readonly host: string;
  readonly port: number;
  /** Whether TLS is spoken with the proxy itself. */
  readonly tls: boolean;
  /** What it is shown as `Proxy-Authorization`; a secret. */
  readonly authorization: string | null;
}

/** Whether a list like `NO_PROXY` names this host, itself or a domain that it is in; `*` alone names every one. */
export function bypassesProxy(list: string, host: string): boolean {
  if (list.trim() === "*") return true;
  const plain = (name: string): string => name.toLowerCase().replace(/\.$/, "");
  const wanted = plain(host);
  return list
    .split(/[\s,]+/)
    .map((name) => plain(name).replace(/^\./, ""))
    .some((name) => name !== "" && (wanted === name || wanted.endsWith(`.${name}`)));
}

const credentialsAsked = 407;

/**
 * A connection to `host:port` through the proxy. Rejects with a `Refusal`, `upstream_unreachable`, where the proxy
 * can't be reached or makes none.
 */
export async function dialThroughProxy(
  runtime: Runtime,
  proxy: HttpProxy,
  authority: string,
  withinMs: number,
): Promise<Connection> {
  const { host, port } = proxy;
  const who = `the proxy ${host}:${port}`;
  const failed = (why: string, cause?: unknown): Refusal =>
    new Refusal("upstream_unreachable", `${who} ${why}`, { cause });
  const tls = { serverName: host, verify: true, ca: null, cert: null, key: null, alpn: ["http/1.1"] };
  let connection: Connection;
  try {
    connection = await runtime.dial({ host, port, withinMs, ...(proxy.tls ? { tls } : {}) });
  } catch (error) {
    throw failed(`can't be reached: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  try {
    await connection.write(connectRequest(authority, proxy.authorization));
    const { status, phrase } = await receive(connection, parseProxyAnswer, withinMs, who);
    if (status < 300) return connection;
    const said = `said ${status}${phrase === "" ? "" : ` ${phrase}`} to a connection to ${authority}`;
    if (status !== credentialsAsked) throw failed(said);
    const shown = proxy.authorization === null ? "no user and password were" : "the user and password";
    throw failed(`${said}: ${shown} ${proxy.authorization === null ? "given" : "given are not its own"}`);
  } catch (error) {
    connection.abort();
    if (error instanceof Refusal && error.reason === "upstream_unreachable") throw error;
    throw new Refusal("upstream_unreachable", error instanceof Error ? error.message : `${who} broke off`, {
      cause: error,
    });
  }
}
