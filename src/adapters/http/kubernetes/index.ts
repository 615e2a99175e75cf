import type { Adapter } from "../../../core/session.ts";
import { asStatus } from "../../../http/kubernetes-status.ts";
import { forward, refuseRequest } from "../reverse-proxy.ts";
import { KubernetesRequest } from "./request.ts";

/**
 * The Kubernetes API. The API server knows the router by its own credential, and is asked with each request to act as
 * the client: what that may do is for its RBAC rules to say.
 */
export const kubernetesAdapter: Adapter = {
  name: "kubernetes",

  async handle(session) {
    const client = session.httpClient();
    let silent = 0;
    try {
      await session.serveHttp({
        handle: async (exchange) => {
          const request = new KubernetesRequest(session, exchange);
          if (request.mayBeSilent) silent++;
          try {
            await forward(session, client, request.exchange, request);
          } finally {
            if (request.mayBeSilent) silent--;
            request.over();
          }
        },
        mayBeSilent: () => silent > 0,
      });
    } finally {
      client.close();
    }
  },

  refuse: (session, refusal) =>
    refuseRequest(session, refusal, { inItsWords: (_, answer) => asStatus(answer) }),
};
