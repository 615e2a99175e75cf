import { deadline } from "../../core/deadline.ts";
import { inspect } from "../../core/inspect.ts";
import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import { ScramClient, ScramError } from "../../sasl/scram.ts";
import type { Connection } from "../../types.ts";
import { bytesOf, type Element, numberOf, textOf, type Value } from "../../wire/bson.ts";
import { no, type Parsed } from "../../wire/cursor.ts";
import { commandMessage, parseCommand, parseMessageHeader } from "../../wire/mongodb.ts";

/** From the first word to the upstream to its last one of who we are. */
const loginMs = 10_000;
/** More than a server has to say of itself, or of a login. */
const maxReply = 1024 * 1024;

/** Where users with passwords are kept, and those with certificates. */
const passwords = "admin";
const certificates = "$external";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A whole answer of a server's, in whatever form. */
export function parseReply(bytes: Uint8Array): Parsed<Uint8Array> {
  const header = parseMessageHeader(bytes);
  if (header.kind !== "ok") return header;
  const { length } = header.value;
  if (length > maxReply) return no("too_large", "an answer that is too long");
  return bytes.length < length
    ? { kind: "more", atLeast: length }
    : { kind: "ok", value: bytes.subarray(0, length), used: length };
}

/** Does something with the upstream that must not take long. Throws a `Refusal`. */
export async function bounded<T>(upstream: Connection, talk: () => Promise<T>): Promise<T> {
  let late = false;
  const limit = deadline(loginMs, () => {
    late = true;
    upstream.abort();
  });
  try {
    return await talk();
  } catch (error) {
    if (error instanceof Refusal) throw error;
    const detail = late
      ? `the upstream did not answer within ${loginMs} ms`
      : "the upstream broke the connection";
    throw new Refusal("upstream_refused", detail, { cause: error });
  } finally {
    limit.cancel();
  }
}

/** The next answer of the upstream, of which nothing else may have come. */
export async function nextReply(upstream: Connection): Promise<Uint8Array> {
  const reply = await inspect(upstream, parseReply);
  if (reply.kind === "ok" && reply.used === reply.head.length) return reply.value;
  const what = reply.kind === "closed" ? "closed the connection" : "does not speak as MongoDB does";
  throw new Refusal("upstream_refused", `the upstream ${what}`);
}

type Document = { readonly [name: string]: Value };

async function run(upstream: Connection, requestId: number, command: Document): Promise<readonly Element[]> {
  await upstream.write(commandMessage(requestId, command));
  const reply = parseCommand(await nextReply(upstream));
  if (reply.kind !== "ok" || reply.value.header.responseTo !== requestId)
    throw new Refusal("upstream_refused", "the upstream does not speak as MongoDB does");
  const { body } = reply.value;
  if (numberOf(field(body, "ok")) === 1) return body;
  const why = [textOf(field(body, "codeName")), textOf(field(body, "errmsg"))].filter(
    (text) => text !== null,
  );
  throw new Refusal("upstream_refused", `the upstream refused the router's login: ${why.join(": ")}`);
}

const field = (body: readonly Element[], name: string): Element | undefined =>
  body.find((element) => element.name === name);

/** Logs in at the upstream as the route says. Throws a `Refusal`. */
export function logIn(session: Session, upstream: Connection, user: string): Promise<void> {
  const { credentials = null, tls } = session.route.upstream ?? {};
  const password = credentials?.password ?? null;
  return bounded(upstream, async () => {
    if (password !== null) return scram(upstream, user, password);
    if (credentials?.minted !== true && tls?.cert == null)
      throw new Refusal(
        "upstream_refused",
        "the route has neither a password nor a certificate to log in with",
      );
    await run(upstream, 1, { authenticate: 1, mechanism: "MONGODB-X509", $db: certificates });
  });
}

async function scram(upstream: Connection, user: string, password: string): Promise<void> {
  const exchange = new ScramClient(user, password);
  const started = await run(upstream, 1, {
    saslStart: 1,
    mechanism: "SCRAM-SHA-256",
    payload: encoder.encode(exchange.first()),
    options: { skipEmptyExchange: true },
    $db: passwords,
  });
  const conversationId = numberOf(field(started, "conversationId")) ?? 1;
  const goOn = (requestId: number, payload: Uint8Array) =>
    run(upstream, requestId, { saslContinue: 1, conversationId, payload, $db: passwords });
  try {
    const proof = await exchange.final(said(started));
    const finished = await goOn(2, encoder.encode(proof));
    await exchange.verify(said(finished));
    // Servers that don't skip it want one more exchange, of nothing.
    if (numberOf(field(finished, "done")) === 1) return;
    const last = await goOn(3, new Uint8Array(0));
    if (numberOf(field(last, "done")) !== 1) throw new ScramError("it does not come to an end");
  } catch (error) {
    if (!(error instanceof ScramError)) throw error;
    throw new Refusal("upstream_refused", `the upstream's part of the login is wrong: ${error.message}`);
  }
}

const said = (body: readonly Element[]): string =>
  decoder.decode(bytesOf(field(body, "payload")) ?? Uint8Array.of());
