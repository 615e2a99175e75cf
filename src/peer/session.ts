import { Refusal } from "../errors.ts";
import type { Answer } from "../tunnel/wire.ts";

/** ALPN, on the one port. */
export const peerProtocol = "sallyport-peer";

/** Of all clients of one router whose agents are connected to another; what each client may is decided before. */
export const maxPeerStreams = 10_000;

/** Routers are near each other: one that is gone is soon known to be. */
export const peerPings = { pingEveryMs: 5000, silentMs: 20_000 } as const;

/** What a router says of an agent that it does not have: it may be elsewhere. */
export const unknownAgent = "unknown_agent";

/** What another router may say of a stream; for any other word it counts as out of reach. */
const reasons = ["upstream_refused", "limit_reached"] as const;

/** @param known whether there is such an agent at all */
export const toPeer = ({ reason, message }: Refusal, known: boolean): Answer => ({
  reason: known ? reason : unknownAgent,
  detail: message,
});

export const fromPeer = (reason: string, detail: string): Refusal =>
  new Refusal(reasons.find((one) => one === reason) ?? "upstream_unreachable", detail);
