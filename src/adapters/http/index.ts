import type { Adapter, Session } from "../../core/session.ts";
import type { Refusal } from "../../errors.ts";
import { inItsOwnWords } from "../../http/grpc-refusal.ts";
import { admitted } from "../../http/request.ts";
import { forwardedFields } from "./forwarded-fields.ts";
import { type Dialect, passed, refuseRequest, reverseProxy } from "./reverse-proxy.ts";

/** Nobody has to sign in. */
const nobody = { visitor: null };

/** The web: the client's name for the upstream stays, and the upstream is told who is calling. */
const web: Dialect = {
  ask: async (request, session, switches) => {
    const asked = admitted(request, session.serverName);
    if ("status" in asked) return asked;
    const judged = session.gate === null ? nobody : await session.gate.judge(request, asked, switches);
    if ("answer" in judged) return judged.answer;
    const { visitor } = judged;
    const identity = session.identity ?? visitor?.identity ?? null;
    return {
      ...asked,
      visitor,
      fields: forwardedFields(request.fields, {
        address: session.source.address,
        host: asked.authority,
        port: session.client.local.port,
        client: session.identity,
        by: session.shownUris,
        assertion: identity === null ? null : await session.assertion(identity),
      }),
      ...(request.trailers === undefined ? {} : { trailers: passed(request.trailers) }),
      silenceMs: session.route.idleTimeoutMs,
    };
  },
  inItsWords: inItsOwnWords,
};

export const httpAdapter: Adapter = reverseProxy("http", web);

/** Answers the first request with why the client is refused, then ends the connection. */
export const refuseHttp = (session: Session, refusal: Refusal): Promise<void> =>
  refuseRequest(session, refusal, web);
