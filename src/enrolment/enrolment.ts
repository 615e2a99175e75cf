import type { Issuer } from "../authority/issuer.ts";
import type { Person } from "../authority/subject.ts";
import { checkPerson, SubjectError } from "../authority/subject.ts";
import { Refusal } from "../errors.ts";
import type { Identity } from "../identity/identity.ts";
import type { Presented, VerifiedClient } from "../identity/verifier.ts";
import { sourceKey } from "../limits/source-key.ts";
import type { Log } from "../observe/log.ts";
import type { Endpoint } from "../types.ts";
import { type Application, readApplication } from "./application.ts";
import { type CertificationRequest, readCertificationRequest } from "./certification-request.ts";
import type { Grant } from "./grant.ts";
import type { IdTokens } from "./id-token.ts";
import type { IssuedStore } from "./issued-record.ts";
import { findToken, hashOf, type JoinTokenStore, refuseOldToken, spend } from "./join-token.ts";
import { keyHash } from "./key-hash.ts";
import { refuseOtherNames } from "./named-identity.ts";
import type { RateLimit } from "./rate.ts";
import type { CertificateRecord } from "./record.ts";
import { EnrolmentRefusal } from "./refusal.ts";
import {
  checkSameHolder,
  identityIn,
  personOf,
  recordByHand,
  refuseOldKey,
  renewableFor,
} from "./renewal.ts";
import { type IssuedSsh, issueSsh, type SshIssuer } from "./ssh-issuer.ts";
import { readSshRequest } from "./ssh-request.ts";

export interface EnrolmentParts {
  readonly issuer: Issuer;
  readonly tokens: JoinTokenStore;
  readonly idTokens: IdTokens;
  readonly issued: IssuedStore;
  /** `null` where it issues none. */
  readonly ssh: () => Promise<SshIssuer | null>;
  /** Of a renewed certificate of which there is no record. */
  readonly lifetimeMs: number;
  /** Of every certificate, unless what was shown for it says otherwise. */
  readonly renewalSpanMs: number;
  /**
   * Who a client's certificate says they are, found out anew: it must be this authority's own, in date and not
   * revoked. Throws a `Refusal`.
   */
  readonly verify: (presented: Presented, now: number) => Promise<VerifiedClient>;
  /** Requests a minute. */
  readonly perSource: number;
  readonly perIdentity: number;
  /** Makes what counts them; `what` is for messages. */
  readonly rate: (perMinute: number, what: string) => RateLimit;
  readonly audit: (record: CertificateRecord) => void;
  readonly log: Log;
}

/** Who asks, as the router saw it. */
export interface Applicant {
  readonly source: Endpoint;
  /** The certificate that came with the connection; `null` without one. */
  readonly presented: Presented | null;
}

/** The answer to `POST /v1/certificates`: PEM, the chain from the certificate's issuer on; `expires` in ISO 8601. */
export type IssuedCertificate = Awaited<ReturnType<Issuer["issueClient"]>> & Partial<IssuedSsh>;

type Notes = { -readonly [K in "credential" | "voucher" | "identity"]: CertificateRecord[K] };

type Result = Pick<CertificateRecord, "reason"> &
  Partial<Pick<CertificateRecord, "serial" | "expires" | "detail" | "ssh_principals">>;

/** Issues certificates to whoever shows who they are, and records every request. */
export class Enrolment {
  readonly #parts: EnrolmentParts;
  readonly #perSource: RateLimit;
  readonly #perIdentity: RateLimit;

  constructor(parts: EnrolmentParts) {
    this.#parts = parts;
    this.#perSource = parts.rate(parts.perSource, "from this source");
    this.#perIdentity = parts.rate(parts.perIdentity, "for this identity");
  }

  /**
   * @param body of the request, as JSON has it
   * @throws EnrolmentRefusal
   */
  async issue(body: unknown, applicant: Applicant, now = Date.now()): Promise<IssuedCertificate> {
    const notes: Notes = { credential: null, voucher: null, identity: null };
    try {
      await this.#perSource.take(sourceKey(applicant.source.address), now);
      const issued = await this.#issue(readApplication(body), applicant.presented, notes, now);
      this.#record(applicant, notes, { reason: "ok", ...issued });
      return issued;
    } catch (error) {
      const refusal = this.#asRefusal(error);
      this.#record(applicant, notes, { reason: refusal.reason, detail: refusal.message });
      throw refusal;
    }
  }

  async #issue(
    asked: Application,
    presented: Presented | null,
    notes: Notes,
    now: number,
  ): Promise<IssuedCertificate> {
    const { issuer, tokens, issued: records } = this.#parts;
    const request = await readCertificationRequest(asked.csr);
    const sshKey = asked.ssh === undefined ? null : await readSshRequest(asked.ssh, request.publicKey);
    const { renewed, lineage, ...grant } = await this.#grant(asked, request, presented, notes, now);
    const { person, renewableUntil, ...kept } = grant;
    notes.identity = identityOf(person);
    checkPerson(person);
    refuseOtherNames(request, person);
    await this.#perIdentity.take(JSON.stringify([person.commonName, person.uris]), now);
    const issued = await issuer.issueClient({ publicKey: request.publicKey, person, ...kept }, now);
    const made = await identityIn(issued.certificate);
    if (renewed !== undefined) checkSameHolder(renewed, made);
    const sshIssuer = sshKey === null ? null : await this.#parts.ssh();
    const expires = Date.parse(issued.expires);
    const beside = { serial: made.serial, expires };
    const ssh =
      sshKey === null || sshIssuer === null ? null : await issueSsh(sshIssuer, sshKey, grant, beside, now);
    // Before anything is given out: of two that come at once, one gets a certificate. And not before there is one.
    if (asked.join_token !== undefined) await spend(tokens, asked.join_token);
    const record = { ...kept, renewableUntil, expires };
    await records.save(made.serial, lineage === undefined ? record : { ...record, renewed: lineage }, now);
    return { ...issued, ...ssh };
  }

  async #grant(
    { join_token: joinToken, id_token: idToken }: Application,
    { publicKey }: CertificationRequest,
    presented: Presented | null,
    notes: Notes,
    now: number,
  ): Promise<Grant & { readonly renewed?: Identity; readonly lineage?: readonly string[] }> {
    const { tokens, idTokens, verify, issued, lifetimeMs, renewalSpanMs } = this.#parts;
    if (joinToken !== undefined) {
      notes.credential = "join_token";
      notes.voucher = (await hashOf(joinToken)).slice(0, 16);
      const found = await findToken(tokens, joinToken);
      const { expires: _, renewalSpanMs: own = renewalSpanMs, ...grant } = found.record;
      notes.identity = identityOf(grant.person);
      refuseOldToken(found, now);
      return { ...grant, renewableUntil: now + own };
    }
    if (idToken !== undefined) {
      notes.credential = "id_token";
      const { voucher, ...grant } = await idTokens.verify(idToken, await keyHash(publicKey), now);
      notes.voucher = voucher;
      return grant;
    }
    if (presented === null)
      throw new EnrolmentRefusal(
        "client_cert_missing",
        "expected join_token, id_token, or the certificate to renew as the client certificate",
      );
    notes.credential = "certificate";
    const { identity: renewed, certificate } = await verify(presented, now);
    notes.voucher = renewed.serial;
    const person = personOf(renewed);
    notes.identity = identityOf(person);
    await refuseOldKey(renewed, publicKey);
    const record =
      (await issued.find(renewed.serial)) ?? recordByHand(certificate, { lifetimeMs, renewalSpanMs });
    const { expires: _, renewed: __, ...kept } = record;
    const lineage = [...(record.renewed ?? []), renewed.serial];
    return { ...kept, person, lifetimeMs: renewableFor(record, now), lineage, renewed };
  }

  #asRefusal(error: unknown): EnrolmentRefusal {
    if (error instanceof EnrolmentRefusal) return error;
    if (error instanceof Refusal) return new EnrolmentRefusal(error.reason, error.message);
    if (error instanceof SubjectError)
      return new EnrolmentRefusal("identity_not_allowed", `${error.member}: ${error.message}`);
    this.#parts.log.error("the authority could not issue", {
      detail: error instanceof Error ? error.message : String(error),
    });
    return new EnrolmentRefusal("authority_failed", "the authority could not issue; its log says why");
  }

  #record({ source: { address, port } }: Applicant, notes: Notes, result: Result): void {
    const { reason, serial = null, expires = null, ssh_principals = null, detail = null } = result;
    const failed = reason === "authority_failed" || reason === "upstream_unreachable";
    this.#parts.audit({
      time: new Date().toISOString(),
      id: crypto.randomUUID(),
      event: "certificate",
      outcome: reason === "ok" ? "served" : failed ? "failed" : "refused",
      reason,
      source: `${address.includes(":") ? `[${address}]` : address}:${port}`,
      ...notes,
      serial,
      expires,
      ssh_principals,
      detail,
    });
  }
}

const identityOf = ({ commonName, groups = [], uris = [] }: Person): CertificateRecord["identity"] => ({
  name: commonName,
  groups,
  uris,
});
