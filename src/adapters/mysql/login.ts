import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import {
  asksForPassword,
  authSwitchPayload,
  mysqlGoesOn,
  parseAuthSwitch,
  parseNextFactor,
  rememberedPayload,
} from "../../wire/mysql/auth.ts";
import { type Capabilities, capability, has, shared, understands } from "../../wire/mysql/capabilities.ts";
import { type Greeting, greetingPayload, parseGreeting } from "../../wire/mysql/greeting.ts";
import { type Login, loginPayload, parseLogin, sslRequestPayload } from "../../wire/mysql/login.ts";
import { first, parseError } from "../../wire/mysql/packet.ts";
import { isThisMachine } from "../this-machine.ts";
import { type Greetings, offered } from "./greetings.ts";
import { Packets, type Peer } from "./packets.ts";
import { asItStands, proof, provable, saysPassword } from "./passwords.ts";
import { MysqlRefusal } from "./refusals.ts";
import { checkDatabase, userFor } from "./rights.ts";

/** Both sides are past their logins. */
export interface LoggedIn {
  readonly upstream: Connection;
  /** What both agreed on. */
  readonly capabilities: Capabilities;
}

const native = "mysql_native_password";
const cachingSha2 = "caching_sha2_password";
const ed25519 = "client_ed25519";
const nothing = new Uint8Array(0);

const upstreamBroke = (detail: string): Refusal =>
  new Refusal("upstream_refused", `the upstream speaks no MySQL: ${detail}`);

const upstreamPeer: Peer = {
  broken: upstreamBroke,
  closed: () => upstreamBroke("closed before the login was over"),
  lost: (error) =>
    new Refusal("upstream_refused", "the upstream broke the connection during the login", { cause: error }),
};

/** What the upstream says went wrong, where it says so. */
function refusedBy(payload: Uint8Array): MysqlRefusal | null {
  const error = parseError(payload);
  return error === null
    ? null
    : new MysqlRefusal("upstream_refused", { ...error, state: error.state ?? "HY000" });
}

/**
 * Brings a client and its upstream past their logins: each counts its own packets, both agree on the same
 * capabilities. Throws a `Refusal`, which the client was not told of.
 *
 * @param greeted what the client was greeted with on its way to TLS; `null`: it waits for a greeting
 * @param dialled told of the connection to the upstream
 */
export async function logIn(
  session: Session,
  client: Packets,
  greetings: Greetings,
  greeted: Greeting | null,
  dialled: (connection: Connection) => void,
): Promise<LoggedIn> {
  const { route } = session;
  const credentials = route.upstream?.credentials ?? null;
  if (credentials !== null && session.identity === null)
    throw new Refusal("client_cert_missing", "the router logs in for clients that show a certificate alone");

  const early = greeted === null ? null : await readLogin(client);
  const plain = await session.dialPlain();
  dialled(plain);
  let server = new Packets(plain, 0, upstreamPeer);
  const own = await readGreeting(server);
  greetings.remember(route, own);
  const open: Greeting = { ...own, ...offered(own, route) };
  if (early === null) await client.write(greetingPayload(open));
  const asked = early ?? (await readLogin(client));
  // Clients may say more than they were offered; what they then go by is what both said.
  if (!understands(shared(asked, greeted ?? open), open))
    throw new Refusal(
      "protocol_error",
      "the database server is not the one it was: connect again, and you are greeted as it would",
    );

  const user = userFor(session, asked.user);
  checkDatabase(session, asked.database);
  const secure = route.upstream?.tls.mode !== "off";
  const both = shared(asked, open);
  const login: Login = {
    ...asked,
    extended: both.extended,
    // The bit that tells MySQL's clients from MariaDB's is the client's own to set.
    flags:
      (both.flags |
        (asked.flags & capability.mysql) |
        (secure ? capability.tls : 0) |
        (credentials === null ? 0 : own.flags & (capability.pluginAuth | capability.secureConnection))) >>>
      0,
    user,
  };

  if (secure) {
    if (!has(own, capability.tls))
      throw new Refusal("upstream_refused", "the upstream offers no TLS, and upstream_tls= asks for it");
    // Said in the clear, whoever said it.
    if (server.ahead) throw upstreamBroke("bytes in front of the TLS handshake");
    await server.write(sslRequestPayload(login));
    const certificate = credentials?.minted === true ? await session.mint(user) : undefined;
    server = server.over(await session.secure(plain, certificate === undefined ? {} : { certificate }));
  }

  const upstream: Upstream = {
    packets: server,
    greeting: own,
    security: route.upstream?.tls.mode ?? "off",
    isPrivate: route.upstream?.tls.mode === "verify" || isThisMachine(plain.remote),
  };
  const accepted =
    credentials === null
      ? await throughClient(upstream, client, login, greeted !== null)
      : await forClient(upstream, login, credentials.password ?? "");
  if (credentials !== null) await satisfy(client, asked, greeted ?? open);
  await client.write(accepted);
  session.opened({
    user,
    ...(asked.user === user || asked.user === "" ? {} : { askedUser: asked.user }),
    name: asked.database,
  });
  return { upstream: server.connection, capabilities: login };
}

/** The side that is logged in at. */
interface Upstream {
  readonly packets: Packets;
  readonly greeting: Greeting;
  readonly security: "off" | "verify" | "insecure";
  /** Whether nobody but the server can read what is sent. */
  readonly isPrivate: boolean;
}

async function readLogin(client: Packets): Promise<Login> {
  const payload = await client.read();
  const login = parseLogin(payload);
  if (login.kind !== "ok")
    throw new Refusal("protocol_error", login.kind === "no" ? login.detail : "a login that ends too early");
  return login.value;
}

async function readGreeting(server: Packets): Promise<Greeting> {
  const payload = await server.read();
  const refused = refusedBy(payload);
  if (refused !== null) throw refused;
  const greeting = parseGreeting(payload);
  if (greeting.kind !== "ok" || !has(greeting.value, capability.protocol41))
    throw upstreamBroke("its greeting is none of protocol 10 with the logins of 4.1");
  return greeting.value;
}

/** Logs in with the router's own password; resolves with the upstream's OK. */
async function forClient(
  { packets, greeting, security, isPrivate }: Upstream,
  login: Login,
  password: string,
): Promise<Uint8Array> {
  const passwordFor = (plugin: string): Uint8Array => {
    if (security !== "verify" && password !== "")
      throw new Refusal(
        "upstream_refused",
        `the upstream asks for the password itself (${plugin}): it is only said under upstream_tls=verify`,
      );
    return asItStands(password);
  };
  const answer = async (plugin: string, challenge: Uint8Array): Promise<Uint8Array> => {
    if (saysPassword.has(plugin)) return passwordFor(plugin);
    if (!provable(plugin))
      throw new Refusal("upstream_refused", `the upstream asks for ${plugin}, which the router can't do`);
    // Whoever has the server's table of users, or guesses well, gets from this proof what logs in next time.
    if (plugin === native && !isPrivate && password !== "")
      throw new Refusal(
        "upstream_refused",
        `the upstream asks for ${native}, whose proofs are only sent under upstream_tls=verify or to this machine`,
      );
    const made = await proof(plugin, password, challenge);
    if (made !== null) return made;
    throw new Refusal("upstream_refused", `${plugin} is done with passwords of exactly 32 bytes alone`);
  };

  // Where the server's own first choice can't be done, it says what the user's is.
  let plugin = greeting.plugin === cachingSha2 ? cachingSha2 : native;
  const ahead = plugin === native && !isPrivate ? nothing : await answer(plugin, greeting.challenge);
  await packets.write(
    loginPayload({ ...login, plugin: ahead === nothing ? ed25519 : plugin, answer: ahead }),
  );
  for (;;) {
    const said = await packets.read();
    if (said[0] === first.ok) return said;
    const refused = refusedBy(said);
    if (refused !== null) throw refused;
    const other = parseAuthSwitch(said);
    if (other !== null) {
      plugin = other.plugin;
      await packets.write(await answer(plugin, other.challenge));
    } else if (plugin === cachingSha2 && asksForPassword(said)) await packets.write(passwordFor(plugin));
    else if (plugin !== cachingSha2 || !mysqlGoesOn(said))
      throw new Refusal("upstream_refused", `the upstream asks for more than ${plugin} has`);
  }
}

/** Lets the client log in itself; resolves with the upstream's OK. */
async function throughClient(
  { packets, greeting, security }: Upstream,
  client: Packets,
  login: Login,
  greetedByUs: boolean,
): Promise<Uint8Array> {
  let plugin = login.plugin ?? native;
  let answer = login.answer;
  const careful = (name: string): void => {
    if (saysPassword.has(name) && security !== "verify")
      throw new Refusal(
        "upstream_refused",
        `${name} says the password itself: it is only passed on under upstream_tls=verify`,
      );
  };
  if (greetedByUs) {
    // The answer was to a challenge of our own: it is asked for again, to the upstream's.
    if (!has(login, capability.pluginAuth))
      throw new Refusal("protocol_error", "a client that can't be asked for its password again");
    plugin = greeting.plugin ?? native;
    careful(plugin);
    await client.write(authSwitchPayload({ plugin, challenge: greeting.challenge }));
    answer = await client.read();
  }
  careful(plugin);
  if (answer.length > 255 && !has(login, capability.lengthEncodedAuth))
    throw new Refusal("protocol_error", "a password too long for a client of this age");
  await packets.write(loginPayload({ ...login, plugin, answer }));
  for (;;) {
    const said = await packets.read();
    if (said[0] === first.ok) return said;
    const refused = refusedBy(said);
    if (refused !== null) throw refused;
    const other = parseAuthSwitch(said) ?? parseNextFactor(said);
    if (other !== null) {
      plugin = other.plugin;
      careful(plugin);
    }
    await client.write(said);
    if (plugin === cachingSha2 && mysqlGoesOn(said)) continue;
    const reply = await client.read();
    if (plugin === cachingSha2 && asksForPassword(said)) checkReply(reply, security);
    await packets.write(reply);
  }
}

/** What clients of `caching_sha2_password` ask for where they believe to have no TLS. */
const asksForKey = (reply: Uint8Array): boolean => reply.length === 1 && reply[0] === 0x02;

/** The password itself goes only where the client believes it to go: into verified TLS. */
function checkReply(reply: Uint8Array, security: Upstream["security"]): void {
  if (security === "off" && !asksForKey(reply))
    throw new Refusal(
      "upstream_refused",
      "the client says its password as in TLS, and there is none to the upstream: upstream_tls=verify is missing",
    );
  if (security === "insecure" && !asksForKey(reply))
    throw new Refusal("upstream_refused", "a password is only passed on under upstream_tls=verify");
  if (security !== "off" && asksForKey(reply))
    throw new Refusal(
      "protocol_error",
      "the server wants the password in TLS: connect with TLS (the local proxy has it), or log in once elsewhere",
    );
}

/** Lets the client finish as its own way to log in has it: whatever it answers, it is in. */
async function satisfy(client: Packets, login: Login, greeting: Greeting): Promise<void> {
  let plugin = login.plugin ?? native;
  let { answer } = login;
  const canSwitch = has(login, capability.pluginAuth);
  const known = plugin === native || plugin === cachingSha2;
  // It has seen no challenge for its own way, and waits for one.
  if (canSwitch && plugin !== greeting.plugin && (known || answer.length === 0)) {
    if (!known) plugin = native;
    await client.write(authSwitchPayload({ plugin, challenge: greeting.challenge }));
    answer = await client.read();
  }
  if (plugin === cachingSha2 && answer.length > 1) await client.write(rememberedPayload);
}
