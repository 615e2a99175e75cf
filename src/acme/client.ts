import type { Client } from "acme-client";
import { keyPem, newKeys } from "../authority/keys.ts";
import type { AcmeSettings } from "../config/acme.ts";
import type { Log } from "../observe/log.ts";
import type { AcmeStore } from "./store.ts";
import type { AcmeTransport } from "./transport.ts";

type Library = typeof import("acme-client");
type Adapter = Extract<Library["axios"]["defaults"]["adapter"], (config: never) => unknown>;

/** The library asks over our connections, which know the directory's anchors and have bounds. */
const asking =
  (transport: AcmeTransport): Adapter =>
  async (config) => {
    const { status, fields, text } = await transport.request({
      method: (config.method ?? "get").toUpperCase(),
      url: config.url ?? "",
      fields: Object.fromEntries(
        Object.entries(config.headers.toJSON()).map(([name, value]) => [name.toLowerCase(), String(value)]),
      ),
      body: typeof config.data === "string" ? config.data : null,
    });
    return { status, statusText: "", data: text, headers: { ...fields }, config };
  };

/** The library, and an account at the authority, made where there is none for the key. */
export interface Account {
  readonly client: Client;
  readonly library: Library;
}

/** Rejects with an `AcmeProblem`, or what a connection says that is not to be had. */
export async function openAccount(
  { directory, email, externalAccount }: AcmeSettings,
  store: AcmeStore,
  transport: AcmeTransport,
  log: Log,
): Promise<Account> {
  // Loaded by those alone who order certificates.
  const library = await import("acme-client");
  const { defaults } = library.axios;
  defaults.adapter = asking(transport);
  // Failures are for us to wait out: it would sleep as long as the authority says, which may be hours.
  Object.assign(defaults, { acmeSettings: { retryMaxAttempts: 0 } });
  const client = new library.Client({
    directoryUrl: directory,
    accountKey: await store.accountKey(async () => keyPem((await newKeys("ecdsa")).privateKey)),
    ...(externalAccount === null ? {} : { externalAccountBinding: externalAccount }),
  });
  await client.createAccount({
    termsOfServiceAgreed: true,
    contact: email === null ? [] : [`mailto:${email}`],
  });
  const terms = await client.getTermsOfServiceUrl();
  log.info("at the authority that certificates are ordered from", {
    account: client.getAccountUrl(),
    ...(terms === null ? {} : { terms_agreed_to: terms }),
  });
  return { client, library };
}
