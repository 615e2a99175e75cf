import type { RelayLimits, Runtime, TlsContext } from "../types.ts";
import type { Back, Front } from "./fronts/front.ts";
import type { Service } from "./proxy.ts";

/** How long a stream may say nothing is the router's to decide: a local proxy only tidies up. */
export const patient: RelayLimits = { idleMs: 7 * 86_400_000, halfCloseMs: 86_400_000 };

/**
 * Carries each local connection to a connection of its own to the route.
 *
 * @param localTls for clients that insist on TLS even here; made when the first one does
 */
export function streamService(
  runtime: Runtime,
  front: Front,
  route: Pick<Back, "dial" | "why">,
  localTls: () => Promise<TlsContext>,
): Service {
  const back: Back = {
    ...route,
    terminate: async (client, alpn) => runtime.terminate(client, await localTls(), alpn),
  };
  return async (client) => {
    const streams = await front.open(client, back);
    if (streams === null) return;
    const [local, router] = streams;
    const end = await runtime.relay(local, router, patient);
    const unanswered = end === "right_broke" || (end === "done" && local.bytesRead > 0);
    if (router.bytesRead === 0 && unanswered) throw new Error(await route.why());
  };
}
