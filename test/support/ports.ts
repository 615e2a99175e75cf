import { dialTcp } from "./client.ts";
import { tcpUpstream } from "./upstreams.ts";

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const upstream = await tcpUpstream(() => {});
  upstream.close();
  return upstream.port;
}

/** Resolves once somebody listens there. */
export async function answers(port: number): Promise<void> {
  for (let i = 0; i < 400; i++) {
    try {
      (await dialTcp(port)).destroy();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
  throw new Error(`nothing answers on ${port}`);
}
