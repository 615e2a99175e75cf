import assert from "node:assert/strict";
import { verify as verifySignature, X509Certificate } from "node:crypto";
import { type AddressInfo, createServer, type Server } from "node:net";
import { before, describe, it } from "node:test";
import { createSecureContext, createServer as createTlsServer, TLSSocket } from "node:tls";
import { Authority, createAuthority, type Issued } from "../../src/authority/authority.ts";
import { importSigningKey } from "../../src/authority/keys.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { derSignature, impersonate, type Stream, type Verdict } from "../../src/self-test/impostor.ts";
import {
  concat,
  derive,
  expandLabel,
  extract,
  hmac,
  RecordKey,
  sha256,
  zeroes,
} from "../../src/self-test/key-schedule.ts";
import type { Runtime } from "../../src/types.ts";

const serverName = "router.test";
const dayMs = 86_400_000;
const attemptMs = 5000;
const nothing = new Uint8Array(0);

let runtime: Runtime;
let ca: string;
let server: Issued;
let chain: Uint8Array[];
let victims: CryptoKey;
let impostors: CryptoKeyPair;

before(async () => {
  runtime = await selectRuntime();
  const authority = await Authority.open(await createAuthority("Test"));
  ca = authority.certificate.toString("pem");
  server = await authority.server([serverName], dayMs);
  const victim = await authority.client({ commonName: "victim" }, dayMs);
  chain = certificatesFromPem(victim.cert);
  victims = (await importSigningKey(victim.key)).key;
  impostors = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
});

/** A server on loopback, what it took for the client's word, and an end. */
interface Listening {
  readonly port: number;
  readonly heard: readonly string[];
  close(): void;
}

interface Asking {
  readonly requestCert?: boolean;
  readonly maxVersion?: "TLSv1.2";
  /** PEM; the server's own alone, unless said otherwise. */
  readonly cert?: string;
}

const tlsOptions = ({ requestCert = true, ...more }: Asking) => ({
  key: server.key,
  cert: server.cert,
  ca,
  requestCert,
  rejectUnauthorized: false,
  minVersion: more.maxVersion ?? ("TLSv1.3" as const),
  ...more,
});

const listening = (at: Server, heard: readonly string[]): Promise<Listening> =>
  new Promise((resolve) => {
    at.listen(0, "127.0.0.1", () => {
      resolve({ port: (at.address() as AddressInfo).port, heard, close: () => void at.close() });
    });
  });

function answering(socket: TLSSocket, heard: string[]): void {
  socket.on("data", (chunk: Buffer) => {
    heard.push(chunk.toString());
    socket.end("in\n");
  });
  socket.on("error", () => socket.destroy());
  socket.on("_tlsError", () => socket.destroy());
}

const servers = {
  "tls.createServer": (asking: Asking = {}) => {
    const heard: string[] = [];
    return listening(
      createTlsServer(tlsOptions(asking), (socket) => answering(socket, heard)),
      heard,
    );
  },
  "a TLSSocket over an accepted socket": (asking: Asking = {}) => {
    const heard: string[] = [];
    const options = tlsOptions(asking);
    const secureContext = createSecureContext(options);
    const accepted = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      answering(new TLSSocket(socket, { ...options, isServer: true, secureContext }), heard);
    });
    return listening(accepted, heard);
  },
  "the router's own handshake": async ({ requestCert = true }: Asking = {}): Promise<Listening> => {
    const heard: string[] = [];
    const context = runtime.tlsContext({
      ...server,
      clientCas: requestCert ? [ca] : null,
      sessionContext: "test",
    });
    const listener = await runtime.listen(
      { host: "127.0.0.1", port: 0 },
      {
        connection: (plain) =>
          void runtime.terminate(plain, context, null).then(
            async (tls) => {
              const word = await tls.read().catch(() => null);
              if (word !== null) {
                heard.push(new TextDecoder().decode(word));
                await tls.write(new TextEncoder().encode("in\n")).catch(() => {});
              }
              tls.abort();
            },
            () => plain.abort(),
          ),
        acceptFailed: (error) => assert.fail(error),
      },
    );
    return { port: listener.address.port, heard, close: () => void listener.close() };
  },
};

/** One go at a server, bounded. `through` stands between the client and the wire. */
async function attempt(
  at: Listening,
  key: CryptoKey,
  through: (stream: Stream) => Stream = (stream) => stream,
): Promise<Verdict> {
  const connection = await runtime.dial({ host: "127.0.0.1", port: at.port, withinMs: attemptMs });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    connection.abort();
  }, attemptMs);
  try {
    const verdict = await impersonate(through(connection), { serverName, chain, key });
    assert.equal(late, false, "the verdict is the server's, not the clock's");
    return verdict;
  } finally {
    clearTimeout(timer);
    connection.abort();
    at.close();
  }
}

for (const [kind, serve] of Object.entries(servers)) {
  describe(`the impostor against ${kind}`, () => {
    it("is accepted with the certificate's own key", async () => {
      const at = await serve();
      assert.equal(await attempt(at, victims), "accepted");
      assert.deepEqual(at.heard, ["hello\n"]);
    });

    it("is refused with another key, and not a byte of its word gets through", async () => {
      const at = await serve();
      assert.equal(await attempt(at, impostors.privateKey), "refused");
      assert.deepEqual(at.heard, []);
    });

    it("gives no verdict where no certificate is asked for", async () => {
      const at = await serve({ requestCert: false });
      await assert.rejects(attempt(at, victims), /asked for no client certificate/);
    });
  });
}

describe("the impostor on real wires", () => {
  const serve = servers["tls.createServer"];

  it("puts together what comes byte by byte", async () => {
    const byByte = (stream: Stream): Stream => {
      let rest = nothing as Uint8Array;
      return {
        write: (bytes) => stream.write(bytes),
        read: async () => {
          if (rest.length === 0) {
            const chunk = await stream.read();
            if (chunk === null) return null;
            rest = chunk;
          }
          const first = rest.subarray(0, 1);
          rest = rest.subarray(1);
          return first;
        },
      };
    };
    assert.equal(await attempt(await serve(), victims, byByte), "accepted");
    assert.equal(await attempt(await serve(), impostors.privateKey, byByte), "refused");
  });

  it("puts together a flight that does not fit one record", async () => {
    const cert = server.cert + `${ca}\n`.repeat(60);
    assert.ok(certificatesFromPem(cert).reduce((sum, der) => sum + der.length, 0) > 1 << 14);
    assert.equal(await attempt(await serve({ cert }), victims), "accepted");
    assert.equal(await attempt(await serve({ cert }), impostors.privateKey), "refused");
  });

  it("gives no verdict on a server of TLS 1.2", async () => {
    const at = await servers["a TLSSocket over an accepted socket"]({ maxVersion: "TLSv1.2" });
    await assert.rejects(attempt(at, victims), /alert|closed|key share/);
  });
});

const types = { changeCipherSpec: 20, alert: 21, handshake: 22, application: 23 };

const message = (type: number, ...body: readonly number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.of(type, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff, ...body);
const record = (type: number, content: Uint8Array): Uint8Array<ArrayBuffer> =>
  concat(Uint8Array.of(type, 3, 3, content.length >> 8, content.length & 0xff), content);

/** What a scripted server does once the handshake messages are exchanged, under its application keys. */
type After = (seal: (type: number, content: Uint8Array) => Promise<Uint8Array>) => Promise<Uint8Array[]>;

interface Script {
  /** Cuts the plain ServerHello, encoded as a handshake message, into records. */
  readonly hello?: (serverHello: Uint8Array) => Uint8Array[];
  readonly after?: After;
  /** How many chunks are sent before the stream ends, of all that there are. */
  readonly chunks?: number;
  /** Breaks instead of ending. */
  readonly breaks?: boolean;
}

/** The client's second flight as a server would read it. */
interface Flight {
  readonly messages: readonly Uint8Array[];
  /** The transcript before each of them. */
  readonly transcripts: readonly Uint8Array<ArrayBuffer>[];
  readonly finishedKey: Uint8Array<ArrayBuffer>;
  readonly word: Uint8Array;
}

/**
 * A TLS 1.3 server, in memory, that checks nothing: what a runtime would be that lets impostors in. One
 * that no TLS library can be made into, hence by hand; keys and records are tested against real ones above.
 */
function carelessServer(script: Script = {}): { stream: Stream; flight(): Promise<Flight> } {
  const sent: Uint8Array<ArrayBuffer>[] = [];
  const outgoing: Uint8Array[] = [];
  const accepts: After = async (seal) => [await seal(types.application, new TextEncoder().encode("in\n"))];
  let step = 0;
  let left = script.chunks ?? Number.POSITIVE_INFINITY;
  let master: Uint8Array<ArrayBuffer> = nothing;
  let clientSecret: Uint8Array<ArrayBuffer> = nothing;
  let transcript: Uint8Array<ArrayBuffer> = nothing;

  async function firstFlight(): Promise<void> {
    const hello = sent[0]?.slice(5) ?? nothing;
    // The only key share is the hello's end: 65 bytes, an uncompressed point.
    const share = hello.slice(-65);
    const curve = { name: "ECDH", namedCurve: "P-256" };
    const keys = (await crypto.subtle.generateKey(curve, false, ["deriveBits"])) as CryptoKeyPair;
    const theirs = await crypto.subtle.importKey("raw", share, curve, false, []);
    const shared = new Uint8Array(
      await crypto.subtle.deriveBits({ name: "ECDH", public: theirs }, keys.privateKey, 256),
    );
    const ours = new Uint8Array(await crypto.subtle.exportKey("raw", keys.publicKey));
    const sessionId = hello.slice(39, 71);
    const extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 69, 0, 23, 0, 65, ...ours];
    const random = crypto.getRandomValues(new Uint8Array(32));
    const serverHello = message(
      2,
      ...[3, 3, ...random, 32, ...sessionId, 0x13, 1, 0, 0, extensions.length, ...extensions],
    );
    transcript = concat(hello, serverHello);
    const early = await extract(zeroes, zeroes);
    const handshake = await extract(await derive(early, "derived", nothing), shared);
    clientSecret = await derive(handshake, "c hs traffic", transcript);
    const sealing = await RecordKey.from(await derive(handshake, "s hs traffic", transcript));
    // EncryptedExtensions, CertificateRequest, and certificate, proof and Finished that are nobody's.
    const second = concat(
      message(8, 0, 0),
      message(13, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3),
      message(11, 0, 0, 0, 0),
      message(15, 4, 3, 0, 0),
      message(20, ...zeroes),
    );
    master = await extract(await derive(handshake, "derived", nothing), zeroes);
    const cut = script.hello ?? ((whole) => [record(types.handshake, whole)]);
    outgoing.push(
      ...cut(serverHello),
      record(types.changeCipherSpec, Uint8Array.of(1)),
      await sealing.seal(types.handshake, second.slice(0, 50)),
      await sealing.seal(types.handshake, second.slice(50)),
    );
    transcript = concat(transcript, second);
  }

  async function afterwards(): Promise<void> {
    const key = await RecordKey.from(await derive(master, "s ap traffic", transcript));
    outgoing.push(...(await (script.after ?? accepts)((type, content) => key.seal(type, content))));
  }

  return {
    stream: {
      write: async (bytes) => void sent.push(Uint8Array.from(bytes)),
      read: async () => {
        if (outgoing.length === 0 && step === 0) await firstFlight();
        else if (outgoing.length === 0 && step === 1) await afterwards();
        const next = left-- > 0 ? outgoing.shift() : undefined;
        if (outgoing.length === 0) step++;
        if (next === undefined && script.breaks) throw new Error("connection reset");
        return next ?? null;
      },
    },
    flight: async () => {
      const whole = concat(...sent.slice(1));
      const cut = 5 + (((whole[3] ?? 0) << 8) | (whole[4] ?? 0));
      const handshakeKey = await RecordKey.from(clientSecret);
      const { content } = await handshakeKey.open(whole.slice(0, 5), whole.slice(5, cut));
      const wordKey = await RecordKey.from(await derive(master, "c ap traffic", transcript));
      const word = await wordKey.open(whole.slice(cut, cut + 5), whole.slice(cut + 5));
      const messages: Uint8Array[] = [];
      const transcripts: Uint8Array<ArrayBuffer>[] = [];
      let so = transcript;
      for (let at = 0; at < content.length; ) {
        const end =
          at + 4 + (((content[at + 1] ?? 0) << 16) | ((content[at + 2] ?? 0) << 8) | (content[at + 3] ?? 0));
        const one = content.slice(at, end);
        transcripts.push(so);
        messages.push(one);
        so = concat(so, one);
        at = end;
      }
      return {
        messages,
        transcripts,
        finishedKey: await expandLabel(clientSecret, "finished", nothing, 32),
        word: word.content,
      };
    },
  };
}

const play = (script: Script, key = impostors.privateKey): Promise<Verdict> =>
  impersonate(carelessServer(script).stream, { serverName, chain, key });

describe("the impostor against a server that checks nothing", () => {
  it("is accepted with another key: a runtime that let it in would be found out", async () => {
    assert.equal(await play({}), "accepted");
  });

  it("does everything right but for the key", async () => {
    const careless = carelessServer();
    await impersonate(careless.stream, { serverName, chain, key: impostors.privateKey });
    const { messages, transcripts, finishedKey, word } = await careless.flight();
    assert.deepEqual(
      messages.map((one) => one[0]),
      [11, 15, 20],
    );
    const [certificate = nothing, proof = nothing, finished = nothing] = messages;
    const leaf = chain[0] ?? nothing;
    assert.deepEqual([...certificate.slice(11, 11 + leaf.length)], [...leaf]);

    const signed = concat(
      new Uint8Array(64).fill(0x20),
      new TextEncoder().encode("TLS 1.3, client CertificateVerify"),
      Uint8Array.of(0),
      await sha256(transcripts[1] ?? nothing),
    );
    const signature = proof.slice(8);
    const spki = Buffer.from(await crypto.subtle.exportKey("spki", impostors.publicKey));
    const impostor = { key: spki, format: "der", type: "spki" } as const;
    const victim = new X509Certificate(leaf).publicKey;
    assert.deepEqual([...proof.slice(4, 6)], [4, 3]);
    assert.equal(verifySignature("sha256", signed, impostor, signature), true);
    assert.equal(verifySignature("sha256", signed, victim, signature), false);
    assert.deepEqual(
      [...finished.slice(4)],
      [...(await hmac(finishedKey, await sha256(transcripts[2] ?? nothing)))],
    );
    assert.equal(new TextDecoder().decode(word), "hello\n");
  });

  it("waits for application data through session tickets", async () => {
    const ticket = message(4, ...zeroes);
    const after: After = async (seal) => [
      await seal(types.handshake, ticket),
      await seal(types.handshake, ticket.slice(0, 9)),
      await seal(types.handshake, ticket.slice(9)),
      await seal(types.application, Uint8Array.of(1)),
    ];
    assert.equal(await play({ after }), "accepted");
  });

  it("sees through padding", async () => {
    const padded = (type: number, ...content: number[]): Uint8Array =>
      Uint8Array.of(...content, type, ...zeroes);
    // What is sealed as type 0 ends in one more zero.
    const answer: After = async (seal) => [await seal(0, padded(types.application, 1))];
    assert.equal(await play({ after: answer }), "accepted");
    const alert: After = async (seal) => [await seal(0, padded(types.alert, 2, 51))];
    assert.equal(await play({ after: alert }), "refused");
  });

  it("takes a session ticket alone for no acceptance", async () => {
    const after: After = async (seal) => [await seal(types.handshake, message(4, ...zeroes))];
    assert.equal(await play({ after }), "refused");
  });

  it("takes an alert for a refusal, encrypted or plain", async () => {
    const alert = Uint8Array.of(2, 51);
    assert.equal(await play({ after: async (seal) => [await seal(types.alert, alert)] }), "refused");
    assert.equal(await play({ after: async () => [record(types.alert, alert)] }), "refused");
  });

  it("takes a stream that ends or breaks once the certificate is sent for a refusal", async () => {
    assert.equal(await play({ after: async () => [] }), "refused");
    assert.equal(await play({ after: async () => [], breaks: true }), "refused");
  });

  it("hears the server out when its own write fails", async () => {
    const { stream } = carelessServer();
    let writes = 0;
    const deaf: Stream = {
      read: () => stream.read(),
      write: (bytes) => (writes++ === 0 ? stream.write(bytes) : Promise.reject(new Error("broken pipe"))),
    };
    assert.equal(await impersonate(deaf, { serverName, chain, key: impostors.privateKey }), "accepted");
  });

  it("rejects a record that it can't decrypt: a fault of its own is no refusal", async () => {
    const after: After = async () => [record(types.application, new Uint8Array(40))];
    await assert.rejects(play({ after }), { name: "OperationError" });
  });

  it("puts together a ServerHello that records cut into pieces", async () => {
    const hello = (whole: Uint8Array): Uint8Array[] =>
      Array.from({ length: Math.ceil(whole.length / 3) }, (_, i) =>
        record(types.handshake, whole.subarray(3 * i, 3 * i + 3)),
      );
    assert.equal(await play({ hello }), "accepted");
  });

  it("gives no verdict where the server ends, breaks off or alerts before it has the certificate", async () => {
    for (let chunks = 0; chunks < 4; chunks++) {
      await assert.rejects(play({ chunks }), /closed the connection early/, `${chunks} chunks`);
      await assert.rejects(play({ chunks, breaks: true }), /closed the connection early/, `${chunks} chunks`);
    }
    const alert = record(types.alert, Uint8Array.of(2, 40));
    await assert.rejects(play({ hello: () => [alert] }), /alert 40 early/);
    await assert.rejects(
      play({ hello: (whole) => [record(types.handshake, whole), alert] }),
      /alert 40 early/,
    );
  });

  it("gives no verdict on a HelloRetryRequest", async () => {
    const hello = (whole: Uint8Array): Uint8Array[] => {
      const extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 24];
      const body = [...whole.subarray(4, 4 + 2 + 32 + 33 + 3), 0, extensions.length, ...extensions];
      return [record(types.handshake, message(2, ...body))];
    };
    await assert.rejects(play({ hello }), /no key share/);
  });
});

describe("the key schedule", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const bytes = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(text, "hex"));

  it("agrees with RFC 8448 §3", async () => {
    const early = await extract(zeroes, zeroes);
    assert.equal(hex(early), "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    const derived = await derive(early, "derived", nothing);
    assert.equal(hex(derived), "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba");
    const shared = bytes("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
    const handshake = await extract(derived, shared);
    assert.equal(hex(handshake), "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
    const traffic = bytes("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
    assert.equal(hex(await expandLabel(traffic, "key", nothing, 16)), "3fce516009c21727d0f2e4e86ee403bc");
    assert.equal(hex(await expandLabel(traffic, "iv", nothing, 12)), "5d313eb2671276ee13000b30");
  });
});

describe("a signature in DER", () => {
  const scalar = (...digits: readonly number[]): number[] => [
    ...new Array<number>(32 - digits.length).fill(0),
    ...digits,
  ];

  it("has integers without needless zeros, and never a negative one", () => {
    assert.deepEqual(
      [...derSignature(Uint8Array.of(...scalar(0x7f, 1), ...scalar(0x80)))],
      [48, 8, 2, 2, 0x7f, 1, 2, 2, 0, 0x80],
    );
    const full = new Uint8Array(64).fill(0xff);
    assert.equal(derSignature(full).length, 72);
    assert.deepEqual([...derSignature(full).subarray(0, 6)], [48, 70, 2, 33, 0, 0xff]);
  });
});
