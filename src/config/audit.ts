import { z } from "zod";
import type { ConfigProblem } from "../errors.ts";
import { type Files, pemOrPath } from "./pem.ts";
import { duration, list } from "./values.ts";
import type { Values } from "./variables.ts";

/** Where a syslog receiver is. */
export type SyslogReceiver =
  | { readonly path: string }
  | {
      readonly host: string;
      readonly port: number;
      /** `null`: in the clear. */
      readonly tls: {
        readonly ca: readonly string[] | null;
        readonly cert: string | null;
        readonly key: string | null;
      } | null;
    };

export type AuditTarget =
  | { readonly to: "nowhere" }
  | { readonly to: "stdout" }
  | { readonly to: "file"; readonly path: string }
  | { readonly to: "syslog"; readonly receiver: SyslogReceiver };

export interface AuditConfig {
  readonly target: AuditTarget;
  /** Whether each line says what it follows. */
  readonly chained: boolean;
  /** `null`: never. */
  readonly rotation: {
    readonly bytes: number | null;
    readonly ageMs: number | null;
    readonly keep: number;
  } | null;
  /** What becomes of connections once records can't be written. */
  readonly whenFull: "continue" | "refuse";
}

const units: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const minBytes = 1024;

/** Bytes; `null` where it is no size. */
function sizeOf(text: string): number | null {
  const [, digits, unit = ""] = /^(\d{1,12})(B|KiB|MiB|GiB)$/.exec(text) ?? [];
  const bytes = Number(digits) * (units[unit] ?? Number.NaN);
  return Number.isSafeInteger(bytes) && bytes >= minBytes ? bytes : null;
}

/** A size, an age, or both with a comma between; `off` for never. */
export const rotation = z.string().transform((text, context) => {
  const found: { bytes: number | null; ageMs: number | null } = { bytes: null, ageMs: null };
  if (text === "off") return found;
  for (const part of list(text)) {
    const bytes = sizeOf(part);
    const age = duration.safeParse(part);
    if (bytes !== null && found.bytes === null) found.bytes = bytes;
    else if (age.success && age.data >= 1000 && found.ageMs === null) found.ageMs = age.data;
    else {
      context.addIssue(
        `${JSON.stringify(part)}: expected a size of 1KiB at least, such as 100MiB, an age of 1s at least, such as 24h, both with a comma between, or off`,
      );
      return z.NEVER;
    }
  }
  if (found.bytes !== null || found.ageMs !== null) return found;
  context.addIssue("expected a size such as 100MiB, an age such as 24h, or off");
  return z.NEVER;
});

const expected =
  "expected -, off, a path, syslog+tcp://HOST:PORT, syslog+tls://HOST:PORT or syslog+unix:/PATH";
const tlsPort = 6514;

/** Throws with words for the user. */
function receiverOf(text: string, files: Files): SyslogReceiver {
  const url = URL.canParse(text) ? new URL(text) : null;
  const kind = /^syslog\+(tcp|tls|unix):/.exec(text)?.[1];
  if (url === null || kind === undefined) throw new Error(expected);
  if (url.username !== "" || url.password !== "") throw new Error("a syslog receiver takes no user's name");
  const known = kind === "tls" ? ["ca", "cert", "key"] : [];
  for (const name of url.searchParams.keys())
    if (!known.includes(name))
      throw new Error(
        `${name}= is no parameter of syslog+${kind}: expected ${known.length === 0 ? "none" : known.join(", ")}`,
      );
  if (kind === "unix") {
    if (!/^syslog\+unix:\/[^/]/.test(text)) throw new Error("expected syslog+unix:/PATH, a stream socket");
    try {
      return { path: decodeURIComponent(url.pathname) };
    } catch {
      throw new Error("holds a % that is no percent-encoding: expected syslog+unix:/PATH");
    }
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" && kind === "tls" ? tlsPort : Number(url.port);
  if (host === "" || port === 0 || (url.pathname !== "" && url.pathname !== "/"))
    throw new Error(`expected syslog+${kind}://HOST:PORT`);
  if (kind === "tcp") return { host, port, tls: null };
  const pem = (name: string): string | null => {
    const value = url.searchParams.get(name);
    return value === null ? null : pemOrPath(value, files);
  };
  const [ca, cert, key] = [pem("ca"), pem("cert"), pem("key")];
  if ((cert === null) !== (key === null)) throw new Error("expected cert= and key= together");
  return { host, port, tls: { ca: ca === null ? null : [ca], cert, key } };
}

function targetOf(text: string, files: Files): AuditTarget {
  if (text === "off") return { to: "nowhere" };
  if (text === "-") return { to: "stdout" };
  if (text.startsWith("syslog")) return { to: "syslog", receiver: receiverOf(text, files) };
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) throw new Error(expected);
  return { to: "file", path: text };
}

export function auditConfig(values: Values, files: Files, problems: ConfigProblem[]): AuditConfig {
  let target: AuditTarget = { to: "nowhere" };
  try {
    target = targetOf(values.SALLYPORT_AUDIT_LOG ?? "-", files);
  } catch (error) {
    problems.push({
      name: "SALLYPORT_AUDIT_LOG",
      message: error instanceof Error ? error.message : expected,
    });
  }
  const { bytes = null, ageMs = null } = values.SALLYPORT_AUDIT_ROTATE ?? {};
  const rotates = bytes !== null || ageMs !== null;
  if (rotates && target.to !== "file")
    problems.push({
      name: "SALLYPORT_AUDIT_ROTATE",
      message: "expected a path in SALLYPORT_AUDIT_LOG: nothing else is rotated",
    });
  const chain = values.SALLYPORT_AUDIT_CHAIN;
  return {
    target,
    chained: chain === null ? target.to === "file" : chain === "on",
    rotation: rotates ? { bytes, ageMs, keep: values.SALLYPORT_AUDIT_KEEP ?? 10 } : null,
    whenFull: values.SALLYPORT_AUDIT_FULL ?? "continue",
  };
}
