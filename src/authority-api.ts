import type { AuthorityParts } from "../routes/authority.ts";
import { createIssuer, type Issuer, openAuthority } from "./authority/issuer.ts";
import { minting } from "./authority/minted.ts";
import { certificatesFromPem } from "./authority/pem.ts";
import { SshAuthority, sshKeyFiles } from "./authority/ssh-authority.ts";
import { sshRevocationList } from "./authority/ssh-revocations.ts";
import type { EnrolmentConfig } from "./config/enrolment.ts";
import type { Files } from "./config/pem.ts";
import type { CertificateAndKey } from "./core/contexts.ts";
import { Enrolment, type EnrolmentParts } from "./enrolment/enrolment.ts";
import { IdTokens } from "./enrolment/id-token.ts";
import type { JoinTokenStore } from "./enrolment/join-token.ts";
import type { SshIssuer } from "./enrolment/ssh-issuer.ts";
import { ConfigError, Refusal } from "./errors.ts";
import { bytesKey, sameBytes } from "./identity/same-bytes.ts";
import { type ClientVerifier, createClientVerifier } from "./identity/verifier.ts";
import type { Log } from "./observe/log.ts";
import { issuedRecordFiles } from "./runtime/issued-records.ts";
import { joinTokenFiles } from "./runtime/join-tokens.ts";
import { exists } from "./runtime/key-files.ts";
import { revokedIn, revokedSshKeysIn } from "./runtime/revoked-records.ts";

/** How long a list of what is revoked is handed out before it is made anew. */
const listMs = 60_000;

export interface AuthorityWorld extends Pick<EnrolmentParts, "audit" | "log" | "rate"> {
  readonly files: Files;
  /** Trust anchors of the router's own pages, PEM. */
  readonly anchors: readonly string[];
  /** Makes tokens good once at all routers that share their state; `null` where this one is alone. */
  readonly sharedTokens: ((own: JoinTokenStore) => JoinTokenStore) | null;
  /** Verifies clients of the router's own pages, with all that the router knows of revocation. */
  readonly verifier: ClientVerifier | null;
}

/**
 * The authority that issues. Throws a `ConfigError` where there is none, or nobody would take what it issues.
 *
 * @param anchors of the router's own pages, PEM
 */
export async function openIssuerOf(
  { directory }: EnrolmentConfig,
  anchors: readonly string[],
  files: Files,
): Promise<{ readonly issuer: Issuer; readonly root: Uint8Array; readonly between: readonly Uint8Array[] }> {
  const fail = (name: string, message: string): never => {
    throw new ConfigError([{ name, message }]);
  };
  const open = await openAuthority(directory, files).catch((error) =>
    fail("SALLYPORT_AUTHORITY", error instanceof Error ? error.message : String(error)),
  );
  const issuer = createIssuer(open, () => revokedIn(directory));
  const [root] = certificatesFromPem(issuer.chain.at(-1) ?? "");
  if (root === undefined || !anchors.flatMap(certificatesFromPem).some((der) => sameBytes(der, root)))
    return fail(
      "SALLYPORT_CLIENT_CA",
      `expected the certificate of SALLYPORT_AUTHORITY (${directory}/ca.crt) among them: what it issues would not be accepted`,
    );
  // What those that issued before have issued can be renewed too.
  const between = [open.issuing, ...open.retired].flatMap((one) => certificatesFromPem(one.chain[0] ?? ""));
  return { issuer, root, between };
}

/** The authority's API, and what it was opened with. */
export interface OpenAuthorityApi extends AuthorityParts {
  readonly mint: (user: string) => Promise<CertificateAndKey>;
  /** The certificates and keys, in one text; what else is not the environment's is the verifier. */
  readonly openedWith: string;
  readonly verifier: ClientVerifier | null;
}

/** What SSH certificates are made with, once there are keys for them; `sallyport ca ssh` makes them at any time. */
function sshIssuerOf(
  { directory, sshPrincipals }: EnrolmentConfig,
  files: Files,
): () => Promise<SshIssuer | null> {
  let opened: Promise<SshIssuer> | undefined;
  const open = async (): Promise<SshIssuer> => {
    const [users, hosts] = await Promise.all(
      [sshKeyFiles.user, sshKeyFiles.host].map((name) =>
        SshAuthority.open(files.read(`${directory}/${name}`)),
      ),
    );
    if (users === undefined || hosts === undefined) throw new TypeError("a key is missing");
    return { users, hosts: hosts.publicLine("sallyport-hosts"), principals: sshPrincipals };
  };
  return async () => {
    if (sshPrincipals.length === 0) return null;
    if (!Object.values(sshKeyFiles).every((name) => exists(`${directory}/${name}`))) return null;
    opened ??= open().catch((error) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
}

/** A list that is made anew at most once a minute, however many ask for it. */
function kept<T>(make: () => Promise<T>, log: Log): () => Promise<T> {
  let last: { readonly list: Promise<T>; readonly at: number } | undefined;
  return () => {
    if (last === undefined || Date.now() - last.at >= listMs) {
      const made = { list: make(), at: Date.now() };
      last = made;
      made.list.catch((error) => {
        if (last === made) last = undefined;
        log.error("the authority could not list what it revoked", {
          detail: error instanceof Error ? error.message : String(error),
        });
      });
    }
    return last.list;
  };
}

/**
 * The parts of the authority's API. Throws a `ConfigError`.
 *
 * @param before stays, with its counts of who asked how often, where it was opened with nothing else
 */
export async function openAuthorityApi(
  config: EnrolmentConfig,
  world: AuthorityWorld,
  before: OpenAuthorityApi | null,
): Promise<OpenAuthorityApi> {
  const { audit, log, rate, anchors, verifier, files } = world;
  const { issuer, root, between } = await openIssuerOf(config, anchors, files);
  const sshKeys = Object.values(sshKeyFiles).map((name) => files.stamp(`${config.directory}/${name}`));
  const openedWith = JSON.stringify([issuer.chain, between.map(bytesKey), sshKeys]);
  if (before !== null && before.openedWith === openedWith && before.verifier === verifier) return before;
  // Another authority's certificate may be good for a route; it must not be turned into one of ours.
  const own = createClientVerifier([root]);
  const records = issuedRecordFiles(config.directory);
  const tokens = joinTokenFiles(config.directory);
  const enrolment = new Enrolment({
    issuer,
    tokens: world.sharedTokens?.(tokens) ?? tokens,
    idTokens: new IdTokens(config.providers),
    issued: records,
    ssh: sshIssuerOf(config, files),
    lifetimeMs: config.lifetimeMs,
    renewalSpanMs: config.renewalSpanMs,
    verify: async (presented, now) => {
      await verifier?.verify(presented, now);
      const { leaf } = presented;
      // A resumed session may bring the leaf alone.
      const client = await own.verify({ leaf, chain: () => [leaf, ...between] }, now);
      // Whatever lists the router has: what was revoked here is not made good again here.
      const revoked = new Set(revokedIn(config.directory).map(({ serial }) => serial));
      const { serial } = client.identity;
      const record = await records.find(serial);
      const former = [serial, ...(record?.renewed ?? [])].find((one) => revoked.has(one));
      if (former !== undefined)
        throw new Refusal(
          "client_cert_revoked",
          `certificate ${former} was revoked, and what it was renewed into with it`,
        );
      return client;
    },
    perSource: config.perSource,
    perIdentity: config.perIdentity,
    rate,
    audit,
    log,
  });
  const lists = {
    crl: kept(() => issuer.crl(), log),
    sshKrl: kept(async () => {
      const { directory } = config;
      return sshRevocationList(revokedIn(directory), revokedSshKeysIn(directory));
    }, log),
  };
  return {
    openedWith,
    verifier,
    mint: minting(issuer),
    issue: (body, applicant) => enrolment.issue(body, applicant),
    bundle: issuer.chain.map((pem) => `${pem.trimEnd()}\n`).join(""),
    ...lists,
    logins: config.providers.flatMap(({ name, issuer: url, clientId, clientSecret, scope }) =>
      clientId === null || clientSecret !== null ? [] : [{ name, issuer: url, client_id: clientId, scope }],
    ),
  };
}
