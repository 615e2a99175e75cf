import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Greetings } from "../../src/adapters/mysql/greetings.ts";
import { logIn } from "../../src/adapters/mysql/login.ts";
import { Packets, type Peer } from "../../src/adapters/mysql/packets.ts";
import type { Session } from "../../src/core/session.ts";
import { Refusal } from "../../src/errors.ts";
import type { Connection } from "../../src/types.ts";
import { authSwitchPayload } from "../../src/wire/mysql/auth.ts";
import { type Greeting, greetingPayload } from "../../src/wire/mysql/greeting.ts";
import { loginPayload, parseLogin } from "../../src/wire/mysql/login.ts";
import { routeOf } from "../support/environment.ts";
import { Pairs, readSome } from "../support/pairs.ts";

const peer: Peer = {
  broken: (detail) => new Refusal("protocol_error", detail),
  closed: () => new Refusal("client_closed", "closed"),
  lost: (error) => error,
};
const native = "mysql_native_password";
const cachingSha2 = "caching_sha2_password";

/** The same connection, from a server that is not on this machine. */
const away = (connection: Connection): Connection =>
  new Proxy(connection, {
    get(target, name) {
      if (name === "remote") return { address: "192.0.2.1", port: 3306 };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });

describe("a MySQL password on its way to another machine, without verified TLS", () => {
  let pairs: Pairs;
  before(async () => {
    pairs = await Pairs.open();
  });
  after(() => pairs.close());

  /** A login at a server that the test plays, which greets with that plugin. */
  async function begun(plugin: string, where: (connection: Connection) => Connection) {
    const [near, server] = await pairs.pair();
    const [person, accepted] = await pairs.pair();
    const greeting: Greeting = { ...new Greetings().invent(null), plugin };
    const session = {
      route: routeOf("mysql://app:secret@db?sni=a.example.com"),
      identity: {},
      captures: {},
      dialPlain: async () => where(near),
    } as unknown as Session;
    const done = logIn(session, new Packets(accepted, 0, peer), new Greetings(), null, () => {});
    done.catch(() => {});
    const packets = new Packets(server, 0, peer);
    await packets.write(greetingPayload(greeting));
    const client = new Packets(person, 0, peer);
    await client.read();
    await client.write(
      loginPayload({
        ...greeting,
        maxPacket: 1 << 24,
        user: "app",
        answer: new Uint8Array(0),
        database: null,
        plugin: native,
        attributes: null,
      }),
    );
    const login = parseLogin(await packets.read());
    assert.ok(login.kind === "ok");
    return { packets, greeting, done, login: login.value, server };
  }

  it("is not proved in the way that gives it away, whether that is asked for or done of one's own accord", async () => {
    const { packets, greeting, done, login } = await begun(native, away);
    assert.deepEqual([login.plugin, login.answer.length], ["client_ed25519", 0]);
    await packets.write(authSwitchPayload({ plugin: native, challenge: greeting.challenge }));
    await assert.rejects(done, {
      reason: "upstream_refused",
      message: /only sent under upstream_tls=verify/,
    });
  });

  it("is proved otherwise", async () => {
    const { packets, greeting, done, login } = await begun(cachingSha2, away);
    assert.deepEqual([login.plugin, login.answer.length], [cachingSha2, 32]);
    await packets.write(authSwitchPayload({ plugin: native, challenge: greeting.challenge }));
    await assert.rejects(done, {
      reason: "upstream_refused",
      message: /only sent under upstream_tls=verify/,
    });
  });

  it("is proved in any way to this machine", async () => {
    const { packets, greeting, login, server } = await begun(native, (connection) => connection);
    assert.deepEqual([login.plugin, login.answer.length], [native, 20]);
    await packets.write(authSwitchPayload({ plugin: native, challenge: greeting.challenge }));
    assert.equal((await readSome(server, 24)).length, 24);
  });
});
