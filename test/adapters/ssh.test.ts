import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { sshAdapter } from "../../src/adapters/ssh/index.ts";
import type { Session, Software } from "../../src/core/session.ts";
import { Refusal } from "../../src/errors.ts";
import type { Connection } from "../../src/types.ts";
import { disconnectReasons } from "../../src/wire/ssh-disconnect.ts";
import { maxBefore } from "../../src/wire/ssh-identification.ts";
import { Pairs, readAll, readSome } from "../support/pairs.ts";
import { told } from "../support/ssh-packets.ts";

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

describe("the ssh adapter", () => {
  let pairs: Pairs;
  before(async () => {
    pairs = await Pairs.open();
  });
  after(() => pairs?.close());

  interface Visit {
    /** The client's and the server's ends. */
    readonly client: Connection;
    readonly server: Connection;
    readonly software: Software[];
    /** What it was refused with; `null`: it was served. */
    readonly done: Promise<Refusal | null>;
  }

  async function visit(
    given: { readonly dialled?: Refusal; readonly withinMs?: number } = {},
  ): Promise<Visit> {
    const [client, accepted] = await pairs.pair();
    const [upstream, server] = await pairs.pair();
    const software: Software[] = [];
    const session: Partial<Session> = {
      client: accepted,
      id: "the-id",
      dial: async () => {
        if (given.dialled !== undefined) throw given.dialled;
        return upstream;
      },
      identified: (both) => void software.push(both),
      relay: async (to) => {
        await pairs.runtime.relay(accepted, to, { idleMs: 60_000, halfCloseMs: 60_000 });
      },
    };
    const done = sshAdapter(given.withinMs)
      .handle(session as Session)
      .then(
        () => null,
        (error: unknown) => {
          assert.ok(error instanceof Refusal, String(error));
          accepted.abort();
          return error;
        },
      );
    return { client, server, software, done };
  }

  const hello = "SSH-2.0-OpenSSH_9.2p1\r\n";
  const greeting = "Authorised use only\r\nSSH-2.0-dropbear comment\n";

  it("carries both sides as they came, whoever speaks first, at every cut", async () => {
    const whole = ascii(`${greeting}keys`);
    for (let cut = 0; cut <= whole.length; cut++) {
      const { client, server, software, done } = await visit();
      // By turns: the client waits for the server, the server for the client, both at once.
      if (cut % 3 !== 0) await client.write(ascii(`${hello}mine`));
      if (cut > 0) await server.write(whole.slice(0, cut));
      if (cut < whole.length) await server.write(whole.slice(cut));
      const atClient = readAll(client);
      if (cut % 3 === 0) await client.write(ascii(`${hello}mine`));
      await client.closeWrite();
      assert.equal(Buffer.from(await readAll(server)).toString(), `${hello}mine`);
      await server.closeWrite();
      assert.equal(Buffer.from(await atClient).toString(), `${greeting}keys`);
      assert.equal(await done, null);
      assert.deepEqual(software, [{ client: "OpenSSH_9.2p1", server: "dropbear comment" }]);
    }
  });

  it("lets a client wait for the server's word, and a server for the client's", async () => {
    const patientClient = await visit();
    await patientClient.server.write(ascii("SSH-2.0-s\r\n"));
    assert.equal((await readSome(patientClient.client, 11)).toString(), "SSH-2.0-s\r\n");
    const patientServer = await visit();
    await patientServer.client.write(ascii("SSH-2.0-c\r\n"));
    assert.equal((await readSome(patientServer.server, 11)).toString(), "SSH-2.0-c\r\n");
    for (const { client, server, done } of [patientClient, patientServer]) {
      client.abort();
      server.abort();
      assert.notEqual(await done, null);
    }
  });

  it("hands nothing to the server of a client that does not speak SSH, and tells it so", async () => {
    const { client, server, software, done } = await visit();
    await client.write(ascii("GET / HTTP/1.1\r\n\r\n"));
    const { reason, sentence } = await told(client);
    assert.equal(reason, disconnectReasons.protocolError);
    assert.equal(
      sentence,
      'sallyport: the client sent no SSH: it said "GET / HTTP/1.1" (protocol_error, connection the-id)',
    );
    assert.equal((await done)?.reason, "protocol_error");
    assert.equal((await readAll(server).catch(() => [])).length, 0);
    assert.deepEqual(software, [{ client: null, server: null }]);
  });

  it("does so after the server's word as well, which stands for ours then", async () => {
    const { client, server, software, done } = await visit();
    await server.write(ascii("SSH-2.0-s\r\nkeys"));
    assert.equal((await readSome(client, 11)).toString(), "SSH-2.0-s\r\n");
    await client.write(ascii("\0\u0001"));
    assert.equal((await told(client, "")).reason, disconnectReasons.protocolError);
    assert.equal((await done)?.reason, "protocol_error");
    assert.deepEqual(software, [{ client: null, server: "s" }]);
  });

  it("tells of a server that speaks no SSH, says too much, or closes, and not where it is", async () => {
    const wrong = ["HTTP/1.1 400 Bad Request\r\n\r\n", "x".repeat(maxBefore + 1), "SSH-1.5-old\r\n", ""];
    for (const [i, words] of wrong.entries()) {
      const { client, server, software, done } = await visit();
      // With its word said, and without: then somebody still listens to the client.
      if (i % 2 === 0) await client.write(ascii(hello));
      await server.write(ascii(words));
      await server.closeWrite();
      const { reason, sentence } = await told(client);
      assert.equal(reason, disconnectReasons.serviceNotAvailable);
      assert.equal(
        sentence,
        "sallyport: no SSH server answers at this name (upstream_refused, connection the-id)",
      );
      assert.equal((await done)?.reason, "upstream_refused");
      assert.equal(software[0]?.server, null);
    }
  });

  it("finds the side at fault where one is silent", async () => {
    const silentServer = await visit({ withinMs: 1 });
    await silentServer.client.write(ascii(hello));
    assert.equal((await told(silentServer.client)).reason, disconnectReasons.serviceNotAvailable);
    const refusal = await silentServer.done;
    assert.equal(refusal?.reason, "upstream_refused");
    assert.equal(refusal?.message, "the server sent no SSH identification within 1 ms");

    const silentClient = await visit({ withinMs: 1 });
    await silentClient.server.write(ascii("SSH-2.0-s\r\n"));
    const { sentence } = await told(silentClient.client, "SSH-2.0-s\r\n");
    assert.match(sentence, /the client sent no SSH identification within 1 ms \(protocol_error, /);
    assert.equal((await silentClient.done)?.reason, "protocol_error");
  });

  it("tells where nobody answers, and whom it refuses, within what a client shows", async () => {
    const { client, done } = await visit({
      dialled: new Refusal("upstream_unreachable", "10.0.0.7:22: refused"),
    });
    const { reason, sentence } = await told(client);
    assert.equal(reason, disconnectReasons.serviceNotAvailable);
    assert.equal(
      sentence,
      "sallyport: the server can't be reached (upstream_unreachable, connection the-id)",
    );
    assert.equal((await done)?.reason, "upstream_unreachable");

    const reasons = [
      ["identity_not_allowed", disconnectReasons.hostNotAllowed],
      ["limit_reached", disconnectReasons.tooManyConnections],
      ["draining", disconnectReasons.byApplication],
    ] as const;
    for (const [why, expected] of reasons) {
      const [refused, accepted] = await pairs.pair();
      const session = { client: accepted, id: "x" } as Session;
      const over = sshAdapter().refuse?.(session, new Refusal(why, `no rule admits ${"m".repeat(1000)}`));
      const heard = await told(refused);
      await over;
      assert.equal(heard.reason, expected);
      assert.match(heard.sentence, new RegExp(`^sallyport: no rule admits m+ \\(${why}, connection x\\)$`));
      assert.ok(heard.sentence.length < 400);
    }
  });

  it("closes on a client that does not leave once it was told, whatever it goes on to say", async () => {
    const { client, done } = await visit();
    await client.write(ascii("nonsense\r\n"));
    await told(client, undefined, true);
    await client.write(new Uint8Array(100_000));
    assert.equal(await client.read(), null);
    assert.equal((await done)?.reason, "protocol_error");
  });

  it("says nothing to a client that is gone", async () => {
    const { client, done } = await visit();
    await client.closeWrite();
    assert.equal((await done)?.reason, "client_closed");
    assert.equal((await readAll(client)).length, 0);
  });
});
