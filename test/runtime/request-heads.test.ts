import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually, type Front, pause, RawClient, startHttp } from "../support/http-front.ts";

const headMs = 300;
/** Deadlines may be half a second late. */
const wellOver = headMs + 700;
const stepMs = 40;

let front: Front;
before(async () => {
  const never = new AbortController().signal;
  front = await startHttp(
    {
      handle: async ({ request, respond }) => {
        let seen = 0;
        for await (const chunk of request.body ?? []) seen += chunk.length;
        const text = new TextEncoder().encode(`took ${seen}`);
        const body = (async function* () {
          yield text;
        })();
        await respond({ status: 200, fields: [["content-length", String(text.length)]], body });
      },
    },
    null,
    never,
    60_000,
    headMs,
  );
});
after(() => front?.close());

/** A byte at a time, until it is through or nobody takes more; gives how many went out. */
async function drip(client: RawClient, text: string, forMs = 5000): Promise<number> {
  const until = performance.now() + forMs;
  let at = 0;
  for (; at < text.length && !client.ended && performance.now() < until; await pause(stepMs))
    client.socket.write(text[at++] ?? "");
  return at;
}

const request = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const answers = (count: number) => (text: string) => text.split("took ").length > count;
const slow = `GET /${"x".repeat(200)}`;
const body = "y".repeat(Math.ceil(wellOver / stepMs));

/** So many whole requests, and then one whose head never ends; gives what went out of it. */
async function afterOthers(before: number): Promise<number> {
  const client = await RawClient.connect(front.port);
  for (let i = 1; i <= before; i++) {
    client.socket.write(request);
    await client.until(answers(i));
  }
  return drip(client, slow);
}

async function behindAnother(): Promise<number> {
  const client = await RawClient.connect(front.port);
  client.socket.write(`${request}${slow.slice(0, 5)}`);
  await client.until(answers(1));
  return drip(client, slow.slice(5));
}

/** A client that takes its time between requests, and for a body; gives all that it was answered. */
async function patient(): Promise<string> {
  const client = await RawClient.connect(front.port);
  client.socket.write(request);
  await client.until(answers(1));
  await pause(wellOver);
  client.socket.write(request);
  await client.until(answers(2));
  client.socket.write(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`);
  await drip(client, body);
  const text = await client.until(answers(3));
  client.socket.destroy();
  return text;
}

describe("a request's head has a time of its own", () => {
  const slowOnes: Readonly<Record<string, () => Promise<number>>> = {
    "when it is the first": () => afterOthers(0),
    "when it is the second": () => afterOthers(1),
    "when it is the third": () => afterOthers(2),
    "when it was begun behind another request": behindAnother,
  };
  // All of them at once: each only waits.
  let sent: Map<string, Promise<number>>;
  let said: Promise<string>;
  before(() => {
    sent = new Map(Object.entries(slowOnes).map(([what, act]) => [what, act()]));
    said = patient();
    for (const one of [...sent.values(), said]) one.catch(() => {});
  });

  for (const what of Object.keys(slowOnes)) {
    it(what, async () => {
      assert.ok(((await sent.get(what)) ?? 0) < slow.length / 2, "it was heard out");
    });
  }

  it("and its connection is recorded as one that was silent for too long", async () => {
    const idle = (): number => front.ended.filter((refusal) => refusal?.reason === "idle_timeout").length;
    assert.ok(await eventually(() => idle() === sent.size), `${idle()} of ${sent.size}`);
  });

  it("which is not what the client takes between requests, or for a body", async () => {
    assert.match(await said, new RegExp(`took ${body.length}$`));
  });
});
