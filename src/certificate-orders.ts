import { Challenges } from "./acme/challenges.ts";
import { openAccount } from "./acme/client.ts";
import { CertificateOrder } from "./acme/order.ts";
import { AcmeOrders, type Ordering } from "./acme/orders.ts";
import type { AcmeStore } from "./acme/store.ts";
import { AcmeTransport } from "./acme/transport.ts";
import { type AcmeConfig, orderedPair } from "./config/acme.ts";
import { certificateFor } from "./config/certificates.ts";
import type { Config } from "./config/load.ts";
import type { Files } from "./config/pem.ts";
import { ConfigError } from "./errors.ts";
import type { Log } from "./observe/log.ts";
import type { Metrics } from "./observe/metrics.ts";
import { acmeFiles } from "./runtime/acme-files.ts";
import type { Shared } from "./shared.ts";
import type { Runtime } from "./types.ts";

/** One store a folder: it remembers how long somebody has had the turn. */
function acmeStores(open: (folder: string) => AcmeStore = acmeFiles): (folder: string) => AcmeStore {
  const stores = new Map<string, AcmeStore>();
  return (folder) => {
    const store = stores.get(folder) ?? open(folder);
    stores.set(folder, store);
    return store;
  };
}

/** Throws a `ConfigError` where validations can't be answered here as they are asked for. */
export function checkChallenge({ name, showsAnyCertificate }: Runtime, { acme }: Config): void {
  if (acme?.challenge !== "tls-alpn-01" || showsAnyCertificate) return;
  const message = `the TLS of ${name} can't show what tls-alpn-01 asks for, a certificate with a critical extension of ACME's own (RFC 8737 §3): expected http-01`;
  throw new ConfigError([{ name: "SALLYPORT_ACME_CHALLENGE", message }]);
}

/** Certificates that are ordered: who orders them, and what answers their validations. */
export interface CertificateOrders {
  readonly orders: AcmeOrders;
  readonly challenges: Challenges;
  /** For whoever asks whether the router is ready. */
  readonly notes: () => readonly string[];
}

/** The same for a process that has no connections of its own, by the configuration that it began with. */
export function orderedElsewhere(
  runtime: Runtime,
  { acme }: Config,
): { readonly notes: CertificateOrders["notes"]; readonly challenge: Challenges["answerTo"] } {
  const storeOf = acmeStores();
  const challenges = new Challenges(runtime, () => acme, storeOf);
  return {
    notes: () =>
      acme === null
        ? []
        : missingNote(acme.names.filter((name) => storeOf(acme.folder).certificate(name) === null)),
    challenge: (token) => challenges.answerTo(token),
  };
}

const missingNote = (names: readonly string[]): readonly string[] =>
  names.length === 0 ? [] : [`no certificate yet for ${names.join(", ")}`];

/** The store of a folder that routers of other machines keep, too. */
function sharedStore(shared: Pick<Shared, "acme">, config: () => Config, files: Files) {
  return (folder: string): AcmeStore =>
    shared.acme({
      own: acmeFiles(folder),
      directory: folder.slice(folder.lastIndexOf("/") + 1),
      names: () => config().acme?.names ?? [],
      goodUntil: (name, text) => {
        try {
          return orderedPair(name, text, files).notAfter.getTime();
        } catch {
          return null;
        }
      },
      now: Date.now,
    });
}

/**
 * @param config as it is now
 * @param shared `null` where other routers are told nothing
 */
export function openCertificateOrders(
  runtime: Runtime,
  config: () => Config,
  files: Files,
  log: Log,
  metrics: Metrics,
  shared: Pick<Shared, "acme"> | null,
): CertificateOrders {
  checkChallenge(runtime, config());
  const storeOf = acmeStores(shared === null ? acmeFiles : sharedStore(shared, config, files));
  const begin = (settings: AcmeConfig, store: AcmeStore, signal: AbortSignal): Ordering => {
    const transport = new AcmeTransport(runtime, settings.ca, signal);
    let order: Promise<CertificateOrder> | undefined;
    return {
      certificateFor: async (name) => {
        order ??= openAccount(settings, store, transport, log).then(
          (account) => new CertificateOrder(account, settings.challenge, store, signal),
        );
        return (await order).certificateFor(name);
      },
      close: () => transport.close(),
    };
  };
  const orders = new AcmeOrders({
    config: () => config().acme,
    served: (name) => certificateFor(config().certificates, name),
    storeOf,
    inspect: files.inspectPair,
    begin,
    log,
    metrics,
    now: Date.now,
    random: Math.random,
  });
  return {
    orders,
    challenges: new Challenges(runtime, () => config().acme, storeOf),
    notes: () => missingNote(orders.waiting()),
  };
}
