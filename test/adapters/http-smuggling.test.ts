import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { httpAdapter } from "../../src/adapters/http/index.ts";
import {
  answering,
  type Front,
  RawClient,
  type RawUpstream,
  requestsIn,
  sessionOf,
  startFront,
} from "../support/http-front.ts";
import { type Attempt, attempts, hidden, hopeless } from "../support/smuggling.ts";

let upstream: RawUpstream;
let front: Front;

before(async () => {
  upstream = await answering();
  front = await startFront((client) =>
    httpAdapter.handle(sessionOf(client, { upstreamPort: upstream.port })),
  );
});
after(async () => {
  await front?.close();
  upstream?.close();
});

/** Sends it with a mark in its target, then closes the sending half; gives what was answered. */
async function attempt({ bytes }: Attempt, mark: number): Promise<string> {
  const client = await RawClient.connect(front.port);
  client.socket.end(bytes.replace(/^(\w+) \/ /, `$1 /?${mark} `), "latin1");
  try {
    return await client.until(() => false, 2000);
  } finally {
    client.socket.destroy();
  }
}

async function all(some: readonly Attempt[]): Promise<Map<Attempt, string>> {
  const answers = new Map<Attempt, string>();
  const left = [...some.entries()];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift())
      answers.set(next[1], await attempt(next[1], next[0]));
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return answers;
}

/** What is wrong with the bytes of one connection to the upstream, as strict and as lenient servers read them. */
function wrongIn(bytes: string): string[] {
  const requests = requestsIn(bytes);
  const wrong: string[] = [];
  for (const { head } of requests) {
    const lines = head.split(/[\r\n\f\v]+/);
    const names = lines
      .slice(1)
      .map((line) => line.split(":", 1)[0]?.trim().toLowerCase().replaceAll("_", "-"));
    const framing = names.filter((name) => name === "content-length" || name === "transfer-encoding");
    if (framing.length > 1) wrong.push(`framed twice: ${head}`);
    // Whoever is not seen by us has none of our words about the client.
    if (names.filter((name) => name === "x-forwarded-for").length !== 1) wrong.push(`unseen: ${head}`);
    if (
      lines.some((line) => /^\W*transfer\W?encoding\b/i.test(line) && line !== "transfer-encoding: chunked")
    )
      wrong.push(`disguised: ${head}`);
  }
  return wrong;
}

describe("the known ways to smuggle a request", () => {
  it("hide none from us and none from the upstream", async () => {
    const answers = await all(attempts);
    assert.deepEqual(upstream.seen.flatMap(wrongIn), []);
    // A strict server finds as many requests in the same bytes; nonsense behind one may cost its answer.
    const tooMany = [...answers].filter(
      ([{ bytes }, answer]) =>
        answer.split("HTTP/1.1 200").length - 1 > Math.max(requestsIn(bytes).length, 1),
    );
    assert.deepEqual(
      tooMany.map(([{ what }, answer]) => `${what}: ${answer}`),
      [],
    );
  });

  it("get nowhere where there is no honest way to read them", async () => {
    const from = upstream.seen.length;
    const answers = await all(attempts.filter(({ what }) => hopeless.has(what)));
    const served = [...answers]
      .filter(([, answer]) => !/^(HTTP\/1\.1 4\d\d |HTTP\/1\.1 505 |$)/.test(answer))
      .map(([{ what }, answer]) => `${what}: ${answer}`);
    assert.deepEqual(served, []);
    // A head may have gone on its way before a chunk turned out to be none: then without an end.
    assert.deepEqual(upstream.seen.slice(from).flatMap(requestsIn), []);
  });

  it("are not what an honest request behind another is", async () => {
    const from = upstream.seen.length;
    const answer = await attempt(
      { what: "", bytes: `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab${hidden}` },
      0,
    );
    assert.equal(answer.split("HTTP/1.1 200").length, 3, answer);
    assert.equal(upstream.seen.slice(from).flatMap(requestsIn).length, 2);
  });
});
