/** The frames of syslog over a stream: RFC 5424 messages, each behind its length in octets (RFC 6587 §3.4.1, RFC 5425 §4.3). */

/** "log audit" (RFC 5424 §6.2.1). */
const facility = 13;
const severity = { notice: 5, info: 6 } as const;

export interface SyslogSender {
  readonly host: string;
  readonly processId: number;
}

/** PRINTUSASCII without spaces, bounded (RFC 5424 §6). */
const field = (text: string, most: number): string => text.replace(/[^!-~]/g, "").slice(0, most) || "-";

const encoder = new TextEncoder();

/** An audit line as a frame. What was not served is a notice. */
export function syslogFrame(line: string, { host, processId }: SyslogSender): Uint8Array {
  const { time, event, outcome } = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const level = outcome === "refused" || outcome === "failed" || outcome === "error" ? "notice" : "info";
  const head = [
    `<${facility * 8 + severity[level]}>1`,
    field(String(time), 32),
    field(host, 255),
    "sallyport",
    processId,
    field(String(event), 32),
    "-",
  ].join(" ");
  const message = encoder.encode(`${head} ${line}`);
  const length = encoder.encode(`${message.length} `);
  const frame = new Uint8Array(length.length + message.length);
  frame.set(length);
  frame.set(message, length.length);
  return frame;
}
