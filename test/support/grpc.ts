import { readFileSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import { atEnd } from "./at-end.ts";
import type { Site } from "./router.ts";

/** One message, as bytes: what is in it is the services' business. */
type Bytes = Buffer;

const bytes = {
  requestSerialize: (value: Bytes): Buffer => value,
  requestDeserialize: (value: Buffer): Bytes => value,
  responseSerialize: (value: Bytes): Buffer => value,
  responseDeserialize: (value: Buffer): Bytes => value,
};

const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Words/${name}`,
  requestStream,
  responseStream,
  ...bytes,
});

const words = {
  shout: method("Shout", false, false),
  count: method("Count", true, false),
  split: method("Split", false, true),
  talk: method("Talk", true, true),
  wait: method("Wait", false, true),
};

export interface Seen {
  /** Metadata of the last call. */
  metadata: Record<string, unknown>;
  /** Calls of `wait` that their client cancelled. */
  cancelled: number;
  /** Calls of `wait` under way. */
  waiting: number;
}

/** A gRPC server with calls of all four kinds. */
export async function grpcServer(): Promise<{ port: number; seen: Seen; close(): void }> {
  const seen: Seen = { metadata: {}, cancelled: 0, waiting: 0 };
  const server = new grpc.Server();
  const trailer = (): grpc.Metadata => {
    const metadata = new grpc.Metadata();
    metadata.set("x-last", "word");
    return metadata;
  };
  server.addService(words, {
    shout: (call: grpc.ServerUnaryCall<Bytes, Bytes>, done: grpc.sendUnaryData<Bytes>) => {
      seen.metadata = call.metadata.getMap();
      const text = call.request.toString();
      if (text === "fail") done({ code: grpc.status.FAILED_PRECONDITION, details: "no: ümlaut" });
      else done(null, Buffer.from(text.toUpperCase()), trailer());
    },
    count: (call: grpc.ServerReadableStream<Bytes, Bytes>, done: grpc.sendUnaryData<Bytes>) => {
      let length = 0;
      call.on("data", (part: Bytes) => {
        length += part.length;
      });
      call.on("end", () => done(null, Buffer.from(String(length))));
    },
    split: (call: grpc.ServerWritableStream<Bytes, Bytes>) => {
      for (const word of call.request.toString().split(" ")) call.write(Buffer.from(word));
      call.end(trailer());
    },
    talk: (call: grpc.ServerDuplexStream<Bytes, Bytes>) => {
      call.on("data", (part: Bytes) => call.write(Buffer.from(`heard ${part.toString()}`)));
      call.on("end", () => call.end());
    },
    wait: (call: grpc.ServerWritableStream<Bytes, Bytes>) => {
      seen.waiting++;
      call.write(Buffer.from("waiting"));
      call.on("cancelled", () => {
        seen.cancelled++;
      });
    },
  });
  const credentials = grpc.ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  const close = (): void => server.forceShutdown();
  atEnd(close);
  return { port, seen, close };
}

/** What a call came to. */
export interface Outcome {
  readonly messages: string[];
  readonly code: grpc.status;
  readonly details: string;
  readonly trailers: Record<string, unknown>;
}

/** A client of that server, through the router. */
export class GrpcClient {
  readonly #client: grpc.Client;

  constructor(site: Site, port: number, name: string) {
    const read = (file: string): Buffer => readFileSync(`${site.folder}/${file}`);
    this.#client = new grpc.Client(
      `127.0.0.1:${port}`,
      grpc.credentials.createSsl(read("ca.crt"), read("alice.key"), read("alice.crt")),
      { "grpc.ssl_target_name_override": name, "grpc.default_authority": name, "grpc.enable_retries": 0 },
    );
    atEnd(() => this.#client.close());
  }

  close(): void {
    this.#client.close();
  }

  shout(text: string, metadata = new grpc.Metadata()): Promise<Outcome> {
    return new Promise((resolve) => {
      const messages: string[] = [];
      const call = this.#client.makeUnaryRequest(
        words.shout.path,
        bytes.requestSerialize,
        bytes.responseDeserialize,
        Buffer.from(text),
        metadata,
        { deadline: Date.now() + 10_000 },
        (_error, value) => void (value === undefined || messages.push(value.toString())),
      );
      call.on("status", (status) => setImmediate(() => resolve(outcome(messages, status))));
    });
  }

  count(parts: number, size: number): Promise<Outcome> {
    return new Promise((resolve) => {
      const messages: string[] = [];
      const call = this.#client.makeClientStreamRequest(
        words.count.path,
        bytes.requestSerialize,
        bytes.responseDeserialize,
        new grpc.Metadata(),
        { deadline: Date.now() + 20_000 },
        (_error, value) => void (value === undefined || messages.push(value.toString())),
      );
      call.on("status", (status) => setImmediate(() => resolve(outcome(messages, status))));
      const part = Buffer.alloc(size, 0x61);
      let left = parts;
      const push = (): void => {
        while (left-- > 0) if (!call.write(part)) return void call.once("drain", push);
        call.end();
      };
      push();
    });
  }

  split(text: string): Promise<Outcome> {
    return collected(
      this.#client.makeServerStreamRequest(
        words.split.path,
        bytes.requestSerialize,
        bytes.responseDeserialize,
        Buffer.from(text),
        new grpc.Metadata(),
        { deadline: Date.now() + 10_000 },
      ),
    );
  }

  talk(): grpc.ClientDuplexStream<Bytes, Bytes> {
    const call = this.#client.makeBidiStreamRequest(
      words.talk.path,
      bytes.requestSerialize,
      bytes.responseDeserialize,
      new grpc.Metadata(),
      { deadline: Date.now() + 10_000 },
    );
    call.on("error", () => {});
    return call;
  }

  wait(ms: number): grpc.ClientReadableStream<Bytes> {
    const call = this.#client.makeServerStreamRequest(
      words.wait.path,
      bytes.requestSerialize,
      bytes.responseDeserialize,
      Buffer.from("x"),
      new grpc.Metadata(),
      { deadline: Date.now() + ms },
    );
    call.on("error", () => {});
    return call;
  }
}

const outcome = (messages: string[], { code, details, metadata }: grpc.StatusObject): Outcome => ({
  messages,
  code,
  details,
  trailers: metadata.getMap(),
});

/** All that a call gives. */
export function collected(
  call: grpc.ClientReadableStream<Bytes> | grpc.ClientDuplexStream<Bytes, Bytes>,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const messages: string[] = [];
    call.on("data", (part: Bytes) => messages.push(part.toString()));
    call.on("error", () => {});
    call.on("status", (status: grpc.StatusObject) => setImmediate(() => resolve(outcome(messages, status))));
  });
}
