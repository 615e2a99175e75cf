import type { TLSSocket } from "node:tls";
import { parseAnswer } from "../../src/tunnel/wire.ts";
import { dial, firstBytes } from "./client.ts";
import { createSite, type Site } from "./router.ts";

const dayMs = 86_400_000;

/** A site whose routers have certificates for each other, beside those of clients and agents. */
export async function peerSite(
  routers: readonly string[],
  agents: readonly string[],
  names: readonly string[],
): Promise<Site> {
  const site = await createSite(["localhost", ...names]);
  const { authority } = site;
  for (const name of routers) {
    const person = { commonName: name, groups: ["routers"] };
    site.save(name, await authority.router(person, "localhost", dayMs));
  }
  for (const name of agents)
    site.save(name, await authority.client({ commonName: name, groups: ["edge"] }, dayMs));
  return site;
}

/** What makes one of them a router among others. */
export const amongPeers = (site: Site, name: string, more: Readonly<Record<string, string>> = {}) => ({
  SALLYPORT_PEER_ALLOW: "group:routers",
  SALLYPORT_PEER_CERT: `${site.folder}/${name}.crt`,
  SALLYPORT_PEER_KEY: `${site.folder}/${name}.key`,
  ...more,
});

/** A connection to a router as another router's would be, and what it is told. */
export async function comeAsRouter(
  site: Site,
  port: number,
  as: string,
): Promise<{ readonly socket: TLSSocket; readonly refused: string | null }> {
  const socket = await dial(site, port, "localhost", { as, ALPNProtocols: ["sallyport-peer"] });
  const said = parseAnswer((await firstBytes(socket)) ?? new Uint8Array(0));
  if (said.kind !== "ok") throw new Error(`it answers with no answer: ${said.kind}`);
  return {
    socket,
    refused: said.value.refused && `${said.value.refused.reason}: ${said.value.refused.detail}`,
  };
}
