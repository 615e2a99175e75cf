import { assertionKeysOf } from "./assertion-keys.ts";
import { certificatesFromPem } from "./authority/pem.ts";
import type { AuthorityWorld, OpenAuthorityApi } from "./authority-api.ts";
import { selectCertificate } from "./config/certificates.ts";
import type { Config } from "./config/load.ts";
import type { Files } from "./config/pem.ts";
import { TlsContexts } from "./core/contexts.ts";
import type { Route } from "./core/route.ts";
import type { EnrolmentParts } from "./enrolment/enrolment.ts";
import type { CertificateRecord } from "./enrolment/record.ts";
import type { AssertionKeys } from "./identity/assertion-key.ts";
import { parseCertificate } from "./identity/certificate.ts";
import { type ClientVerifier, createClientVerifier } from "./identity/verifier.ts";
import type { Log } from "./observe/log.ts";
import type { RevocationWatch } from "./revocation/watch.ts";
import type { Runtime } from "./types.ts";

/** What outlasts any one reading of the configuration. */
export interface Lasting {
  readonly runtime: Runtime;
  readonly revocations: RevocationWatch;
  readonly files: Files;
  readonly audit: (record: CertificateRecord) => void;
  readonly log: Log;
  readonly rate: EnrolmentParts["rate"];
  readonly sharedTokens: AuthorityWorld["sharedTokens"];
  /** What several processes seal session tickets by; `null`: each context has keys of its own. */
  readonly ticketSecret: () => Uint8Array | null;
  /** Those that several processes have in common; `null`: the configuration's, or such as are made here. */
  readonly assertionKeys: AssertionKeys | null;
}

/** What is made of one reading of the configuration. */
export interface Configured {
  readonly config: Config;
  readonly contexts: TlsContexts;
  readonly verifiers: Verifiers;
  /** `null` where no authority issues certificates. */
  readonly authority: OpenAuthorityApi | null;
  readonly assertionKeys: AssertionKeys;
}

function urisInCertificate(pem: string): readonly string[] {
  const [der] = certificatesFromPem(pem);
  const certificate = der === undefined ? null : parseCertificate(Uint8Array.from(der));
  return certificate === null || "malformed" in certificate ? [] : certificate.names.uri;
}

/**
 * Makes everything that connections will be taken by, and nothing of it is in use yet. Throws a `ConfigError`, or what
 * the TLS stack throws.
 *
 * @param before what goes on as it is where its part of the configuration did not change
 */
export async function configure(
  lasting: Lasting,
  config: Config,
  before: Configured | null,
): Promise<Configured> {
  const { runtime, revocations } = lasting;
  const contexts = new TlsContexts(
    runtime,
    (name) => selectCertificate(config.certificates, name),
    lasting.ticketSecret,
    before?.contexts,
    urisInCertificate,
  );
  // Every context once now: what the TLS stack would not take should stop the start, not a client.
  for (const route of config.table.routes.filter((one) => one.terminates)) {
    for (const { suffix, variables } of route.names) {
      contexts.for(route, [...variables.map(() => "any"), suffix].join("."));
    }
  }
  const verifiers = new Verifiers(config, revocations, before?.verifiers);
  const own = config.table.routes.find(({ adapter }) => adapter === "app");
  // Loaded where there is an authority alone: what makes certificates is much of all that a router could load.
  const authority =
    config.enrolment === null
      ? null
      : await (await import("./authority-api.ts")).openAuthorityApi(
          config.enrolment,
          {
            ...lasting,
            anchors: own?.anchors ?? [],
            verifier: own === undefined || own.client === "none" ? null : verifiers.of(own),
          },
          before?.authority ?? null,
        );
  const sameKey = before !== null && before.config.jwtKey === config.jwtKey;
  const assertionKeys = sameKey
    ? before.assertionKeys
    : (lasting.assertionKeys ?? (await assertionKeysOf(config.jwtKey)));
  await revocations.start();
  return { config, contexts, verifiers, authority, assertionKeys };
}

/** One verifier a set of anchors and revocation lists: routes that have both in common share what was verified. */
class Verifiers {
  readonly #byRule = new Map<string, ClientVerifier>();
  readonly #byRoute = new Map<Route, ClientVerifier>();

  constructor({ table, profile, groups }: Config, revocations: RevocationWatch, before?: Verifiers) {
    const known = before === undefined ? undefined : before.#byRule;
    for (const route of table.routes) {
      if (route.client === "none") continue;
      const rule = JSON.stringify([route.anchors, route.crl]);
      const verifier =
        this.#byRule.get(rule) ??
        known?.get(rule) ??
        createClientVerifier(route.anchors.flatMap(certificatesFromPem), {
          profile,
          groups,
          revocation: revocations.of(route.crl),
        });
      this.#byRule.set(rule, verifier);
      this.#byRoute.set(route, verifier);
    }
  }

  of(route: Route): ClientVerifier {
    const verifier = this.#byRoute.get(route);
    if (verifier === undefined) throw new TypeError(`route ${route.name} has no verifier`);
    return verifier;
  }
}
