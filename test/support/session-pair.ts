import { type SessionOptions, TunnelSession } from "../../src/tunnel/session.ts";
import type { TunnelStream } from "../../src/tunnel/stream.ts";
import type { Pairs } from "./pairs.ts";

/** Both sides of a tunnel, over TCP: the router's opens streams, the agent's takes them. */
export interface SessionPair {
  readonly router: TunnelSession;
  readonly agent: TunnelSession;
  /** A stream, and its other end. */
  open(first?: Uint8Array): Promise<[near: TunnelStream, far: TunnelStream]>;
  close(): void;
}

export async function sessionPair(
  pairs: Pairs,
  more: { readonly router?: Partial<SessionOptions>; readonly agent?: Partial<SessionOptions> } = {},
): Promise<SessionPair> {
  const [dialled, accepted] = await pairs.pair();
  const waiting: ((stream: TunnelStream) => void)[] = [];
  const agent = new TunnelSession(dialled, {
    dialled: true,
    maxStreams: 10_000,
    accept: (stream) => waiting.shift()?.(stream),
    ...more.agent,
  });
  const router = new TunnelSession(accepted, {
    dialled: false,
    maxStreams: 10_000,
    accept: null,
    ...more.router,
  });
  return {
    router,
    agent,
    open: async (first = Uint8Array.of(0)) => {
      const other = new Promise<TunnelStream>((resolve) => waiting.push(resolve));
      const near = router.open();
      await near.write(first);
      const far = await other;
      let left = first.length;
      while (left > 0) left -= (await far.read())?.length ?? left;
      return [near, far];
    },
    close: () => {
      router.close();
      agent.close();
    },
  };
}
