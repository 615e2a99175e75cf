import { lingeringClose } from "../../core/linger.ts";
import type { Adapter, Session } from "../../core/session.ts";
import { ipOf } from "../../core/source.ts";
import { Refusal } from "../../errors.ts";
import type { Cancellation } from "../../http/exchange.ts";
import { brokenLimit } from "../../identity/policy.ts";
import { noRouters } from "../../peer/certificate.ts";
import { maxPeerStreams, peerPings, toPeer } from "../../peer/session.ts";
import { encodeListedAgent, type ForwardRequest, parsePeerRequest } from "../../peer/wire.ts";
import type { Agents } from "../../tunnel/agents.ts";
import { receive } from "../../tunnel/exchange.ts";
import { TunnelSession } from "../../tunnel/session.ts";
import { encodeAnswer } from "../../tunnel/wire.ts";
import type { Connection } from "../../types.ts";

const requestMs = 10_000;
const who = "the other router";

/** Throws a `Refusal` where the certificate, which the rules admit, is no router's. */
function checkRouter({ identity, tls, route, source }: Session): void {
  const leaf = tls?.peerLeaf() ?? null;
  if (identity === null || leaf === null)
    throw new Refusal("client_cert_missing", "a router without a certificate");
  const unfit = noRouters(leaf, route.names[0]?.text ?? "");
  if (unfit !== null) throw new Refusal("client_cert_unfit", `no router has such a certificate: ${unfit}`);
  // To speak for clients is more than a route gives: a certificate for certain routes has to name this one among them.
  const limit = brokenLimit(identity, route.name, ipOf(source));
  if (limit !== null) throw new Refusal(limit.reason, `${identity.subject}: ${limit.detail}`);
}

/** What others heard of an agent that has moved takes a moment to reach them, as does the word that it has. */
const movedMs = 3000;
const lookEveryMs = 250;

/** Other routers may ask for agents of this one while it drains, for as long as there are any that have not moved. */
function endOnceMoved(tunnel: TunnelSession, agents: Agents, draining: Cancellation): void {
  let looking: ReturnType<typeof setInterval> | undefined;
  const drain = (): void => {
    const since = performance.now();
    looking = setInterval(() => {
      if (agents.names.length > 0 || performance.now() - since < movedMs) return;
      clearInterval(looking);
      tunnel.goAway();
      tunnel.whenEmpty(() => tunnel.close());
    }, lookEveryMs);
  };
  if (draining.aborted) drain();
  else draining.addEventListener("abort", drain, { once: true });
  void tunnel.closed.then(() => {
    clearInterval(looking);
    draining.removeEventListener("abort", drain);
  });
}

/** Other routers, as this one serves them. */
export interface PeerAdapter extends Adapter {
  /** Those that are connected. */
  readonly count: number;
  /** Resolves once none of them uses an agent of this one. */
  unused(): Promise<void>;
}

/** Other routers, for clients of theirs whose agent is connected to this one. */
export function peerAdapter(agents: Agents): PeerAdapter {
  /** Streams of all of them, and the sessions that they are on. */
  const streams = new Set<Promise<void>>();
  let count = 0;
  const refuse = async ({ client }: Session, { reason, message }: Refusal): Promise<void> =>
    client.write(encodeAnswer({ reason, detail: message }));

  /** What it asks for goes to agents of this router, by the names that they publish, and never on to another one. */
  const forward = async (session: Session, stream: Connection, target: ForwardRequest): Promise<void> => {
    const started = performance.now();
    const before = stream.bytesRead;
    let said = 0;
    const done = (refusal: Refusal | null): void =>
      session.forwarded({
        target,
        bytesIn: stream.bytesRead - before,
        bytesOut: Math.max(0, stream.bytesWritten - said),
        refusal,
        durationMs: performance.now() - started,
      });
    const answer = async (refusal: Refusal | null): Promise<void> => {
      const bytes = encodeAnswer(refusal === null ? null : toPeer(refusal, agents.has(target.agent)));
      said = bytes.length;
      await stream.write(bytes);
    };
    let found: Connection;
    try {
      found = await agents.openHere(target);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await answer(error).finally(() => done(error));
      await stream.closeWrite();
      return;
    }
    try {
      await answer(null);
      await session.carry(stream, found);
      done(null);
    } catch (error) {
      stream.abort();
      found.abort("reset");
      done(error instanceof Refusal ? error : new Refusal("client_closed", `${who} broke the stream`));
    }
  };

  const list = async (stream: Connection): Promise<void> => {
    for (const agent of await agents.listHere()) await stream.write(encodeListedAgent(agent));
    await stream.write(encodeListedAgent(null));
    await stream.closeWrite();
  };

  const serve = async (session: Session, stream: Connection): Promise<void> => {
    try {
      const request = await receive(stream, parsePeerRequest, requestMs, who);
      if (request.ask === "list") await list(stream);
      else await forward(session, stream, request.target);
    } catch {
      // It has gone away from it, or speaks otherwise.
      stream.abort();
    }
  };

  const handle = async (session: Session): Promise<void> => {
    const { client, draining } = session;
    try {
      checkRouter(session);
    } catch (error) {
      if (error instanceof Refusal) {
        await refuse(session, error);
        await lingeringClose(client);
      }
      throw error;
    }
    await client.write(encodeAnswer(null));
    const serving = new Set<Promise<void>>();
    const tunnel = new TunnelSession(client, {
      ...peerPings,
      dialled: false,
      maxStreams: maxPeerStreams,
      accept: (stream) => {
        const served = serve(session, stream).finally(() => {
          serving.delete(served);
          streams.delete(served);
        });
        serving.add(served);
        streams.add(served);
      },
    });
    endOnceMoved(tunnel, agents, draining);
    count++;
    await tunnel.closed;
    // Their records come before the connection's own.
    await Promise.all(serving);
    count--;
    if (tunnel.failure !== undefined) throw tunnel.failure;
  };

  return {
    name: "peer",
    handle,
    refuse,
    get count() {
      return count;
    },
    unused: async () => {
      while (streams.size > 0) await Promise.race(streams);
    },
  };
}
