import { bypassesProxy, type HttpProxy } from "../local/http-proxy.ts";
import { type CliIo, UsageError } from "./command.ts";

/** As curl has it: the one in small letters counts first, and the one for all protocols last. */
const variables = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/** Where no port is given: of a proxy without TLS it is curl's. */
const ports = { http: 1080, https: 443 } as const;

const filled = (env: CliIo["env"], names: readonly string[]): string | undefined =>
  names.find((name) => (env[name] ?? "") !== "");

const basic = (user: string, password: string): string => {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
};

/** Reads a proxy's URL; what is wrong with it is told without it, since it may hold a password. */
function parse(text: string): HttpProxy | null {
  const [, scheme = "http", user, bracketed, name, digits] =
    /^(?:([a-z][a-z0-9+.-]*):\/\/)?(?:(.*)@)?(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?\/*$/i.exec(
      text,
    ) ?? [];
  const host = bracketed ?? name;
  const kind = scheme.toLowerCase();
  if (host === undefined || (kind !== "http" && kind !== "https")) return null;
  const port = digits === undefined ? ports[kind] : Number(digits);
  if (port < 1 || port > 65_535) return null;
  if (user === undefined) return { host, port, tls: kind === "https", authorization: null };
  const [, first = "", second = ""] = /^([^:]*):?(.*)$/s.exec(user) ?? [];
  try {
    // A user's name with a colon can't be told from its password (RFC 7617 §2).
    const [who, password] = [decodeURIComponent(first), decodeURIComponent(second)];
    return who.includes(":")
      ? null
      : { host, port, tls: kind === "https", authorization: basic(who, password) };
  } catch {
    return null;
  }
}

/** The proxy for TLS connections to this host by the environment; `null` where there is none. */
export function httpProxy(env: CliIo["env"], host: string): HttpProxy | null {
  const from = filled(env, variables);
  const except = filled(env, ["no_proxy", "NO_PROXY"]);
  if (from === undefined || (except !== undefined && bypassesProxy(env[except] ?? "", host))) return null;
  const proxy = parse(env[from] ?? "");
  if (proxy === null)
    throw new UsageError(
      `${from}: expected an HTTP proxy, http://[user:password@]host[:port] or https://…, reserved characters percent-encoded; or the router's name in NO_PROXY`,
    );
  return proxy;
}
