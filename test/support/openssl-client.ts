import { spawn } from "node:child_process";
import { atEnd } from "./at-end.ts";
import type { Site } from "./router.ts";

/** `openssl s_client`, which does what TLS libraries for programs don't. */
export interface OpensslClient {
  /** All that it said so far, standard error behind it. */
  readonly said: () => string;
  type(text: string): void;
  /** Waits until it has said that, or has ended; gives whether it has said it. */
  says(what: string | RegExp): Promise<boolean>;
  /** Its exit status. */
  readonly over: Promise<number | null>;
  end(): void;
}

/** Connects with the certificate `alice`. */
export function opensslClient(
  site: Site,
  port: number,
  serverName: string,
  ...more: readonly string[]
): OpensslClient {
  const { folder } = site;
  const child = spawn("openssl", [
    ...["s_client", "-connect", `127.0.0.1:${port}`, "-servername", serverName],
    ...["-CAfile", `${folder}/ca.crt`, "-cert", `${folder}/alice.crt`, "-key", `${folder}/alice.key`],
    ...more,
  ]);
  atEnd(() => child.kill("SIGKILL"));
  let out = "";
  let err = "";
  let ended = false;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const one of [...waiting]) one();
  };
  child.stdout.on("data", (chunk) => {
    out += chunk;
    wake();
  });
  child.stderr.on("data", (chunk) => {
    err += chunk;
    wake();
  });
  child.stdin.on("error", () => {});
  const over = new Promise<number | null>((resolve) => {
    child.once("close", (status) => {
      ended = true;
      resolve(status);
      wake();
    });
  });
  const said = (): string => `${out}\n${err}`;
  return {
    said,
    over,
    type: (text) => child.stdin.write(text),
    end: () => void child.kill("SIGKILL"),
    says: (what) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = typeof what === "string" ? said().includes(what) : what.test(said());
          if (!found && !ended) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

/** Skips a DER header; gives where the content begins, and how long it is. */
function header(der: Uint8Array, at: number): { readonly start: number; readonly length: number } {
  const first = der[at + 1] ?? 0;
  if (first < 128) return { start: at + 2, length: first };
  const bytes = der.subarray(at + 2, at + 2 + (first & 127));
  return { start: at + 2 + bytes.length, length: bytes.reduce((sum, byte) => sum * 256 + byte, 0) };
}

/**
 * A session of `node:tls`, in OpenSSL's ASN.1, as its own command takes it; changed so that it says that its server lets so many bytes
 * of early data come ([15] of `SSL_SESSION_ASN1`), whatever the server said: 256 to 32,767.
 */
export function withEarlyData(session: Uint8Array, bytes: number): string {
  const { start, length } = header(session, 0);
  let at = start;
  while (at < start + length && (session[at] ?? 0) < 0xaf) {
    const field = header(session, at);
    at = field.start + field.length;
  }
  const more = [0xaf, 4, 2, 2, bytes >> 8, bytes & 255];
  const body = [...session.subarray(start, at), ...more, ...session.subarray(at, start + length)];
  const der = Buffer.from([0x30, 0x82, body.length >> 8, body.length & 255, ...body]);
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN SSL SESSION PARAMETERS-----\n${lines.join("\n")}\n-----END SSL SESSION PARAMETERS-----\n`;
}
