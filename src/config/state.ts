import type { StateSettings } from "../state/redis-link.ts";
import { thisMachine } from "./checks.ts";
import { anchorsFrom, type Files, textAt } from "./pem.ts";
import type { Values } from "./variables.ts";

const expectedUrl =
  "expected memory:, or redis:// or rediss:// with a host, such as rediss://user:password@state.example.com:6379/0";

function decoded(text: string): string | null {
  try {
    return text === "" ? null : decodeURIComponent(text);
  } catch {
    throw new Error(`holds a % that is no percent-encoding: ${expectedUrl}`);
  }
}

/** What was given is not repeated: it may hold a password. Throws with words for the user. */
function parseUrl(text: string): Omit<StateSettings, "secret"> {
  const url = /^rediss?:\/\/[^/?#]/i.test(text) && URL.canParse(text) ? new URL(text) : null;
  const [, database] = /^(?:\/(\d{1,4})?)?$/.exec(url?.pathname ?? "?") ?? ["", "none"];
  if (url === null || url.hostname === "" || url.search !== "" || url.hash !== "" || database === "none")
    throw new Error(expectedUrl);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? 6379 : Number(url.port),
    tls: url.protocol === "rediss:" ? { anchors: [] } : null,
    username: decoded(url.username),
    password: decoded(url.password),
    database: Number(database ?? 0),
  };
}

const expectedSecret =
  "256 random bits in base64 or hexadecimal (openssl rand -base64 32), or a path of them";

function secretIn(text: string): Uint8Array | null {
  const hex = /^[0-9a-fA-F]{64}$/.test(text) ? (text.match(/../g) ?? []) : null;
  if (hex !== null) return Uint8Array.from(hex, (digits) => Number.parseInt(digits, 16));
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return null;
  const bits = atob(`${text.slice(0, 43).replaceAll("-", "+").replaceAll("_", "/")}=`);
  return Uint8Array.from(bits, (char) => char.charCodeAt(0));
}

/** The secret itself, or a file that has it. Throws with words for the user, none of them the secret's. */
function secretFrom(value: string, files: Files): Uint8Array {
  const secret = secretIn(value.trim()) ?? secretIn(textAt(value, files, expectedSecret).trim());
  if (secret === null) throw new Error(`is no secret: expected ${expectedSecret}`);
  return secret;
}

/** Where several routers share their state; `null` where this one is alone. */
export function stateSettings(
  values: Values,
  files: Files,
  attempt: <T>(name: string, read: () => T) => T | null,
  warnings: string[],
): StateSettings | null {
  const { SALLYPORT_STATE_URL: url, SALLYPORT_STATE_SECRET: secret, SALLYPORT_STATE_CA: ca } = values;
  if (url === null || url === "memory:") {
    for (const [name, value] of Object.entries({ SALLYPORT_STATE_SECRET: secret, SALLYPORT_STATE_CA: ca }))
      if (value !== null)
        warnings.push(`${name} is set, and SALLYPORT_STATE_URL is memory: it is for nothing`);
    return null;
  }
  const place = attempt("SALLYPORT_STATE_URL", () => parseUrl(url));
  const bits = attempt("SALLYPORT_STATE_SECRET", () => {
    if (secret === null) throw new Error(`expected the secret that all routers share: ${expectedSecret}`);
    return secretFrom(secret, files);
  });
  const anchors = attempt("SALLYPORT_STATE_CA", () => {
    if (ca !== null && place?.tls === null) throw new Error("is for a SALLYPORT_STATE_URL of rediss://");
    return ca === null ? [] : anchorsFrom(ca, files);
  });
  if (place === null || bits === null || anchors === null) return null;
  if (values.SALLYPORT_JWT_KEY === null)
    warnings.push(
      "SALLYPORT_STATE_URL is set, and SALLYPORT_JWT_KEY is not: each router signs assertions, and seals browsers' sessions, with keys of its own",
    );
  if (place.tls === null && place.password !== null && !thisMachine.test(place.host))
    warnings.push("SALLYPORT_STATE_URL: its password goes over the network in the clear; set rediss://");
  return { ...place, tls: place.tls === null ? null : { anchors }, secret: bits };
}
