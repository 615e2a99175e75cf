import { CredentialKeeper } from "../local/credential.ts";
import { type ClientPair, type RouterAddress, RouterLink } from "../local/link.ts";
import { selectRuntime } from "../runtime/select.ts";
import type { Runtime } from "../types.ts";
import { clientPair, type Given, routerAddress, tunnelMode } from "./client-options.ts";
import type { CliIo } from "./command.ts";
import { httpProxy } from "./http-proxy.ts";
import { profileFolder, tunnelMemory } from "./profile.ts";
import { RouterApi } from "./router-api.ts";

/** What every client command has to do with. */
export interface Client {
  readonly runtime: Runtime;
  readonly address: RouterAddress;
  readonly link: RouterLink;
  /** The router's API, showing this certificate. */
  api(pair: ClientPair | null): RouterApi;
  /**
   * The client certificate, kept up to date where it is the profile's.
   *
   * @param warn a line for people
   */
  credential(warn: (line: string) => void): CredentialKeeper;
}

/** Finds the router and the way to it, by flags, environment and profile. */
export async function openClient(given: Given, env: CliIo["env"]): Promise<Client> {
  const address = routerAddress(given, env);
  const folder = profileFolder(env);
  const runtime = await selectRuntime();
  const proxy = httpProxy(env, address.host);
  const link = new RouterLink(runtime, address, tunnelMode(given, env), tunnelMemory(folder), proxy);
  const api = (pair: ClientPair | null): RouterApi => new RouterApi(runtime, link, pair);
  const ownPair = [given["client-cert"], env.SALLYPORT_CLIENT_CERT].some(
    (one) => one !== undefined && one !== "",
  );
  return {
    runtime,
    address,
    link,
    api,
    credential: (warn) => {
      const renewal = async (old: ClientPair): Promise<void> => {
        const asked = api(old);
        try {
          // Seldom, and with the library for certificates, which most commands do without.
          const { renew } = await import("./renewal.ts");
          await renew(asked, folder, address);
        } finally {
          asked.close();
        }
      };
      // What was given by hand somebody else renews.
      return new CredentialKeeper(() => clientPair(given, env), ownPair ? null : renewal, warn);
    },
  };
}
