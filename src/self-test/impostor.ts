import { concat, derive, expandLabel, extract, hmac, RecordKey, sha256, zeroes } from "./key-schedule.ts";

/**
 * A client with somebody else's certificate: it plays TLS 1.3 by the rules but for one thing, its
 * CertificateVerify is made with a key that is not the certificate's. No TLS library will do that, and
 * tampering on the way proves nothing, since the Finished message fails then whatever the server checks.
 * So this plays it by hand, by WebCrypto, in the one shape that the self-test needs. It is an adversary
 * for tests: nothing is ever protected with it.
 */
export interface Impersonation {
  readonly serverName: string;
  /** The victim's chain, DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** ECDSA P-256: the impostor's own; or the victim's, to show that only the key makes the difference. */
  readonly key: CryptoKey;
}

export interface Stream {
  read(): Promise<Uint8Array | null>;
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * What the server made of the certificate once it had it. `accepted`: it sent application data. `refused`: it
 * sent an alert, or closed or cut the connection, without any.
 */
export type Verdict = "accepted" | "refused";

const recordType = { changeCipherSpec: 20, alert: 21, handshake: 22, application: 23 } as const;
const messageType = {
  clientHello: 1,
  serverHello: 2,
  certificate: 11,
  certificateRequest: 13,
  certificateVerify: 15,
  finished: 20,
} as const;

type Bytes = Uint8Array<ArrayBuffer>;

const u16 = (value: number): number[] => [value >> 8, value & 0xff];
const u24 = (value: number): number[] => [value >> 16, ...u16(value & 0xffff)];
const vector16 = (body: readonly number[]): number[] => [...u16(body.length), ...body];
const message = (type: number, body: Uint8Array): Bytes =>
  concat(Uint8Array.of(type, ...u24(body.length)), body);

/** Records off a stream, decrypted once there is a key, and the handshake messages in them. */
class Records {
  readonly #stream: Stream;
  #buffer: Bytes = new Uint8Array(0);
  #messages: Bytes = new Uint8Array(0);
  key: RecordKey | undefined;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  async #take(count: number): Promise<Bytes | null> {
    while (this.#buffer.length < count) {
      // A connection that broke has ended, too: a server that refuses may well reset it.
      const chunk = await this.#stream.read().catch(() => null);
      if (chunk === null) return null;
      this.#buffer = concat(this.#buffer, chunk);
    }
    const taken = this.#buffer.slice(0, count);
    this.#buffer = this.#buffer.slice(count);
    return taken;
  }

  /** `null` at the stream's end. */
  async next(): Promise<{ type: number; content: Bytes } | null> {
    for (;;) {
      const header = await this.#take(5);
      if (header === null) return null;
      const body = await this.#take(((header[3] ?? 0) << 8) | (header[4] ?? 0));
      if (body === null) return null;
      if (header[0] === recordType.changeCipherSpec) continue;
      if (header[0] === recordType.application && this.key !== undefined) return this.key.open(header, body);
      return { type: header[0] ?? 0, content: body };
    }
  }

  /** The next handshake message, however records cut and join them (RFC 8446 §5.1). Throws when none comes. */
  async message(): Promise<Bytes> {
    for (;;) {
      const [, high = 0, middle = 0, low = 0] = this.#messages;
      const length = 4 + ((high << 16) | (middle << 8) | low);
      if (this.#messages.length >= length) {
        const whole = this.#messages.slice(0, length);
        this.#messages = this.#messages.slice(length);
        return whole;
      }
      const record = await this.next();
      // Neither is a verdict on the certificate, which the server has not seen yet.
      if (record === null) throw new Error("the server closed the connection early in the handshake");
      if (record.type !== recordType.handshake) {
        const what = record.type === recordType.alert ? `alert ${record.content[1]}` : `type ${record.type}`;
        throw new Error(`the server sent a record of ${what} early in the handshake`);
      }
      this.#messages = concat(this.#messages, record.content);
    }
  }
}

function clientHello(serverName: string, share: Uint8Array): Bytes {
  const name = [...new TextEncoder().encode(serverName)];
  const extension = (type: number, body: readonly number[]): number[] => [...u16(type), ...vector16(body)];
  const extensions = [
    ...extension(0, vector16([0, ...vector16(name)])),
    ...extension(10, vector16(u16(23))),
    ...extension(13, vector16([...u16(0x0403), ...u16(0x0804), ...u16(0x0401)])),
    ...extension(43, [2, 3, 4]),
    ...extension(51, vector16([...u16(23), ...vector16([...share])])),
  ];
  const random = crypto.getRandomValues(new Uint8Array(32));
  const sessionId = crypto.getRandomValues(new Uint8Array(32));
  const body = [3, 3, ...random, 32, ...sessionId, ...vector16(u16(0x1301)), 1, 0, ...vector16(extensions)];
  return message(messageType.clientHello, Uint8Array.from(body));
}

/** The server's key share out of a ServerHello; a HelloRetryRequest names a group only (RFC 8446 §4.2.8). */
function serverShare(hello: Bytes): Bytes {
  let at = 4 + 2 + 32;
  at += 1 + (hello[at] ?? 0) + 2 + 1 + 2;
  while (at + 4 <= hello.length) {
    const type = ((hello[at] ?? 0) << 8) | (hello[at + 1] ?? 0);
    const length = ((hello[at + 2] ?? 0) << 8) | (hello[at + 3] ?? 0);
    if (type === 51 && length > 4) return hello.slice(at + 8, at + 4 + length);
    at += 4 + length;
  }
  throw new Error("the server chose no key share");
}

/** WebCrypto's r and s, 32 bytes each, as DER integers, which are as short as can be and signed (X.690 §8.3). */
export function derSignature(raw: Uint8Array): Uint8Array {
  const integer = (bytes: Uint8Array): number[] => {
    let start = 0;
    while (start < bytes.length - 1 && bytes[start] === 0) start++;
    const digits = [...bytes.subarray(start)];
    if ((digits[0] ?? 0) & 0x80) digits.unshift(0);
    return [2, digits.length, ...digits];
  };
  const body = [...integer(raw.subarray(0, 32)), ...integer(raw.subarray(32))];
  return Uint8Array.of(48, body.length, ...body);
}

/**
 * Plays the handshake, says one word and waits for an answer. The caller bounds the time by closing the stream.
 * Rejects where the server never got as far as judging the certificate: it did not ask for one, or does not
 * speak TLS 1.3 with these parameters. That would say nothing about the certificate, and is no refusal of it.
 */
export async function impersonate(stream: Stream, as: Impersonation): Promise<Verdict> {
  const records = new Records(stream);
  const keys = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"]);
  const hello = clientHello(
    as.serverName,
    new Uint8Array(await crypto.subtle.exportKey("raw", keys.publicKey)),
  );
  await stream.write(concat(Uint8Array.of(recordType.handshake, 3, 1, ...u16(hello.length)), hello));

  const serverHello = await records.message();
  if (serverHello[0] !== messageType.serverHello) throw new Error("the server began with no ServerHello");
  let transcript = concat(hello, serverHello);
  const theirs = await crypto.subtle.importKey(
    "raw",
    serverShare(serverHello),
    { name: "ECDH", namedCurve: "P-256" },
    false,
    [],
  );
  const shared = new Uint8Array(
    await crypto.subtle.deriveBits({ name: "ECDH", public: theirs }, keys.privateKey, 256),
  );

  const nothing = new Uint8Array(0);
  const early = await extract(zeroes, zeroes);
  const handshake = await extract(await derive(early, "derived", nothing), shared);
  const ours = await derive(handshake, "c hs traffic", transcript);
  records.key = await RecordKey.from(await derive(handshake, "s hs traffic", transcript));
  const sealing = await RecordKey.from(ours);

  let asked = false;
  for (let type: number | undefined; type !== messageType.finished; ) {
    const one = await records.message();
    type = one[0];
    if (type === messageType.certificateRequest) asked = true;
    transcript = concat(transcript, one);
  }
  if (!asked) throw new Error("the server asked for no client certificate");

  const master = await extract(await derive(handshake, "derived", nothing), zeroes);
  const applicationOurs = await RecordKey.from(await derive(master, "c ap traffic", transcript));
  const applicationTheirs = await RecordKey.from(await derive(master, "s ap traffic", transcript));

  const entries = as.chain.map((der) => concat(Uint8Array.from(u24(der.length)), der, Uint8Array.of(0, 0)));
  const list = concat(...entries);
  const certificate = message(messageType.certificate, concat(Uint8Array.of(0, ...u24(list.length)), list));
  transcript = concat(transcript, certificate);
  const signed = concat(
    new Uint8Array(64).fill(0x20),
    new TextEncoder().encode("TLS 1.3, client CertificateVerify\0"),
    await sha256(transcript),
  );
  const raw = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, as.key, signed);
  const signature = derSignature(new Uint8Array(raw));
  const verify = message(
    messageType.certificateVerify,
    Uint8Array.of(4, 3, ...u16(signature.length), ...signature),
  );
  transcript = concat(transcript, verify);
  const finishedKey = await expandLabel(ours, "finished", nothing, 32);
  const finished = message(messageType.finished, await hmac(finishedKey, await sha256(transcript)));

  const flight = await sealing.seal(recordType.handshake, concat(certificate, verify, finished));
  const word = await applicationOurs.seal(recordType.application, new TextEncoder().encode("hello\n"));
  // In one write: a server that refuses closes at once, and a second write would only race with its alert.
  // Should this one fail, what there is to read says why.
  await stream.write(concat(flight, word)).catch(() => {});
  // The server took up its application keys after its own Finished (RFC 8446 §4.4.4): alerts use them as well.
  records.key = applicationTheirs;
  for (;;) {
    const record = await records.next();
    if (record === null || record.type === recordType.alert) return "refused";
    if (record.type === recordType.application) return "accepted";
  }
}
