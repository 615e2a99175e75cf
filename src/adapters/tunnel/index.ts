import { lingeringClose } from "../../core/linger.ts";
import type { Adapter, Session } from "../../core/session.ts";
import { endpointText, ipOf } from "../../core/source.ts";
import { Refusal } from "../../errors.ts";
import type { Cancellation } from "../../http/exchange.ts";
import { admittedBy, brokenLimit } from "../../identity/policy.ts";
import { publisherRules, type TunnelRule } from "../../identity/publishers.ts";
import type { AgentInfo, AgentPlace, Agents } from "../../tunnel/agents.ts";
import { ConnectedAgent } from "../../tunnel/connected-agent.ts";
import { receive } from "../../tunnel/exchange.ts";
import { TunnelSession } from "../../tunnel/session.ts";
import { type AgentHello, encodeAnswer, parseHello } from "../../tunnel/wire.ts";

export interface TunnelParts {
  readonly agents: Agents;
  readonly rules: readonly TunnelRule[];
  /** Streams open at once on one connection of an agent. */
  readonly maxStreams: number;
  /** An agent came, or went. */
  readonly changed: (what: "connected" | "gone", agent: AgentInfo) => void;
}

const helloMs = 10_000;
/** For connections that were admitted just before the router drains, and have not dialled yet. */
const drainGraceMs = 3000;

/** The subject that may publish an agent of this name. Throws a `Refusal`. */
function publisher(session: Session, name: string, rules: readonly TunnelRule[]): string {
  const { identity, route, source } = session;
  if (identity === null) throw new Refusal("client_cert_missing", "an agent without a certificate");
  const { subject } = identity;
  const allowed = publisherRules(rules, name);
  if (allowed.length === 0 || admittedBy(allowed, identity) === null)
    throw new Refusal("identity_not_allowed", `${subject} may not publish agent ${name}`);
  // Publishing is more than a route gives: a certificate for certain routes has to name this one among them.
  const limit = brokenLimit(identity, route.name, ipOf(source));
  if (limit !== null) throw new Refusal(limit.reason, `${subject}: ${limit.detail}`);
  return subject;
}

/** While the router drains, its agents move elsewhere; the connection stays for the streams that are open. */
function endWhenIdle(tunnel: TunnelSession, draining: Cancellation): void {
  const close = (): void => {
    setTimeout(() => {
      if (tunnel.size === 0) tunnel.close();
    }, drainGraceMs);
  };
  const drain = (): void => {
    tunnel.goAway();
    tunnel.whenEmpty(close);
  };
  if (draining.aborted) drain();
  else draining.addEventListener("abort", drain, { once: true });
  void tunnel.closed.then(() => draining.removeEventListener("abort", drain));
}

/** Agents, which publish services from where the router can't dial. */
export function tunnelAdapter({ agents, rules, maxStreams, changed }: TunnelParts): Adapter {
  const refuse = async ({ client }: Session, { reason, message }: Refusal): Promise<void> =>
    client.write(encodeAnswer({ reason, detail: message }));

  /** Throws a `Refusal`, once the agent was told. */
  const admit = async (session: Session, hello: AgentHello): Promise<readonly [string, AgentPlace]> => {
    try {
      return [publisher(session, hello.name, rules), await agents.enter(hello.name)];
    } catch (error) {
      if (error instanceof Refusal) {
        await refuse(session, error);
        await lingeringClose(session.client);
      }
      throw error;
    }
  };

  const handle = async (session: Session): Promise<void> => {
    const { client, source, draining } = session;
    const hello = await receive(client, parseHello, helloMs, "the agent");
    session.published(hello);
    const [subject, place] = await admit(session, hello);
    try {
      await client.write(encodeAnswer(null));
      const tunnel = new TunnelSession(client, {
        dialled: false,
        maxStreams,
        accept: null,
        // It is asked for nothing more; what is under way goes on.
        goneAway: () => place.withdraw(),
      });
      endWhenIdle(tunnel, draining);
      const agent = new ConnectedAgent(hello, tunnel, client, { address: endpointText(source), subject });
      place.join(agent);
      changed("connected", agent.info);
      await tunnel.closed;
      changed("gone", agent.info);
      if (tunnel.failure !== undefined) throw tunnel.failure;
      if (draining.aborted) session.movedOn("the agent was asked to move");
    } finally {
      place.leave();
    }
  };

  return { name: "tunnel", handle, refuse };
}
