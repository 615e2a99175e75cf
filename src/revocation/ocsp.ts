import { LruMap } from "../core/lru-map.ts";
import { type Certificate, describe } from "../identity/certificate.ts";
import type { Finding } from "../identity/revocation/lists.ts";
import { certIdOf, ocspRequest, responderOf } from "../identity/revocation/ocsp-request.ts";
import { judgeOcsp, type OcspVerdict } from "../identity/revocation/ocsp-verdict.ts";
import { bytesKey } from "../identity/same-bytes.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { download } from "./download.ts";
import { Turns } from "./turns.ts";

export interface OcspSettings {
  /** What becomes of a certificate whose responder gives no good answer. */
  readonly rule: "soft" | "hard";
  /** Asked instead of the one that a certificate names. */
  readonly url: string | null;
}

const cacheEntries = 10_000;
/** Half of what a handshake may take. */
const withinMs = 5000;
const maxBytes = 64 * 1024;
const maxAsking = 32;
/** How long a responder that gave no answer is left alone, about one certificate. */
const retryMs = 10_000;

/** Asks authorities' responders about holders' certificates (RFC 6960), and remembers the answers as long as they hold. */
export class OcspClient {
  readonly #settings: OcspSettings;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #known = new LruMap<string, Finding>(cacheEntries);
  readonly #turns = new Turns(maxAsking);
  readonly #asking = new Map<string, Promise<Finding>>();
  /** Responders that were said to fail. */
  readonly #failing = new Set<string>();

  constructor(settings: OcspSettings, log: Log, metrics: Metrics) {
    this.#settings = settings;
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Is a certificate revoked, whose path was verified? Handshakes that ask the same at once ask together. */
  check(leaf: Certificate, issuer: Certificate, now: number): Promise<Finding> {
    const key = bytesKey(leaf.raw) + bytesKey(issuer.spki);
    const known = this.#known.get(key);
    if (known !== undefined && now <= known.until) return Promise.resolve(known);
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#find(leaf, issuer, now).then((finding) => {
        this.#known.set(key, finding);
        return finding;
      });
      this.#asking.set(key, asking);
      void asking.finally(() => this.#asking.delete(key));
    }
    return asking;
  }

  async #find(leaf: Certificate, issuer: Certificate, now: number): Promise<Finding> {
    const url = this.#settings.url ?? responderOf(leaf);
    const verdict: OcspVerdict =
      url === null
        ? { status: "failed", why: "its authority names no responder" }
        : await this.#ask(url, leaf, issuer, now);
    const who = describe(leaf);
    this.#metrics.ocspRequests.add(1, verdict.status);
    if (verdict.status === "good") return { failure: null, until: verdict.until };
    if (verdict.status === "revoked") {
      const detail = `${who}: revoked, says the responder of its authority (RFC 6960)`;
      return { failure: { reason: "client_cert_revoked", detail }, until: now + retryMs };
    }
    if (this.#settings.rule === "soft") return { failure: null, until: now + retryMs };
    const why = verdict.status === "failed" ? verdict.why : "the responder does not know it";
    const detail = `${who}: whether it is revoked can't be told: ${why} (RFC 6960)`;
    return { failure: { reason: "client_cert_untrusted", detail }, until: now + retryMs };
  }

  async #ask(url: string, leaf: Certificate, issuer: Certificate, now: number): Promise<OcspVerdict> {
    const turn = await this.#turns.take(withinMs);
    if (turn === null) return { status: "failed", why: "too many questions at once" };
    const id = await certIdOf(leaf, issuer);
    let verdict: OcspVerdict;
    try {
      const question = {
        method: "POST",
        headers: { "content-type": "application/ocsp-request", accept: "application/ocsp-response" },
        body: ocspRequest(id) as BodyInit,
      };
      verdict = await judgeOcsp(await download(url, { withinMs, maxBytes }, question), id, issuer, now);
    } catch (error) {
      verdict = { status: "failed", why: error instanceof Error ? error.message : String(error) };
    } finally {
      turn.done();
    }
    this.#say(url, verdict);
    return verdict;
  }

  /** Once when it begins to fail, and once when it is over. */
  #say(url: string, verdict: OcspVerdict): void {
    // Without what may be a secret in it.
    const { origin, pathname } = new URL(url);
    const responder = `${origin}${pathname}`;
    if (verdict.status !== "failed") {
      if (this.#failing.delete(responder)) this.#log.info("an OCSP responder answers again", { responder });
    } else if (!this.#failing.has(responder)) {
      if (this.#failing.size >= maxAsking) this.#failing.clear();
      this.#failing.add(responder);
      const { rule } = this.#settings;
      this.#log.error("an OCSP responder gives no good answer", { responder, problem: verdict.why, rule });
    }
  }
}
