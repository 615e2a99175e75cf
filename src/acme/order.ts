import type { Authorization, Order } from "acme-client";
import type { AcmeChallenge } from "../config/acme.ts";
import type { Account } from "./client.ts";
import { AcmeProblem, problemText } from "./problem.ts";
import { type AcmeStore, isToken } from "./store.ts";

/** For a validation, and for an order to be filled. */
const patienceMs = 120_000;
const firstLookMs = 250;
const longestLookMs = 5000;

/** Resolves after a while; rejects at once where it is not wanted any more. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(over, ms);
    signal.addEventListener("abort", over);
    if (signal.aborted) over();
  });
}

/** Looks until something is not under way any more; ever less often, and not for ever. */
async function settled<T extends { readonly status: string }>(
  look: () => Promise<T>,
  what: string,
  signal: AbortSignal,
): Promise<T> {
  let waited = 0;
  for (let ms = firstLookMs; ; ms = Math.min(ms * 1.5, longestLookMs)) {
    const found = await look();
    if (found.status !== "pending" && found.status !== "processing") return found;
    if (waited > patienceMs)
      throw new AcmeProblem(`the authority has not finished ${what} within ${patienceMs} ms`);
    await pause(ms, signal);
    waited += ms;
  }
}

/** Why it came to nothing, by its own account. */
const failed = (what: string, { status, error }: { readonly status: string; readonly error?: unknown }) =>
  new AcmeProblem(problemText(error) ?? `${what} is ${status}`);

/** One certificate for one name: proves that it is ours, and gives key and chain, PEM. */
export class CertificateOrder {
  readonly #account: Account;
  readonly #kind: AcmeChallenge;
  readonly #store: AcmeStore;
  readonly #signal: AbortSignal;

  constructor(account: Account, kind: AcmeChallenge, store: AcmeStore, signal: AbortSignal) {
    this.#account = account;
    this.#kind = kind;
    this.#store = store;
    this.#signal = signal;
  }

  /** Rejects with an `AcmeProblem` where the authority would not. */
  async certificateFor(name: string): Promise<string> {
    const { client, library } = this.#account;
    const order = await client.createOrder({ identifiers: [{ type: "dns", value: name }] });
    for (const authorization of await client.getAuthorizations(order)) {
      // It remembers for a while that a name is ours.
      if (authorization.status !== "valid") await this.#prove(name, order, authorization);
    }
    const key = await library.crypto.createPrivateEcdsaKey("P-256");
    const [, request] = await library.crypto.createCsr({ altNames: [name] }, key);
    const ready = await settled(() => client.getOrder(order), "the order", this.#signal);
    if (ready.status !== "ready") throw failed("the order", ready);
    await client.finalizeOrder(order, request);
    const filled = await settled(() => client.getOrder(order), "the certificate", this.#signal);
    if (filled.status !== "valid") throw failed("the order", filled);
    return `${key}\n${await client.getCertificate(filled)}`;
  }

  async #prove(name: string, order: Order, authorization: Authorization): Promise<void> {
    const { client } = this.#account;
    const kind: string = this.#kind;
    const challenge = authorization.challenges.find(({ type }) => type === kind);
    if (challenge === undefined) {
      const offered = authorization.challenges.map(({ type }) => type).join(", ");
      throw new AcmeProblem(`the authority offers no ${kind} for it, only ${offered}`);
    }
    if (!isToken(challenge.token)) throw new AcmeProblem("the authority gives a token that is none");
    const key = this.#kind === "http-01" ? challenge.token : name;
    const keyAuthorization = await client.getChallengeKeyAuthorization(challenge);
    try {
      await this.#store.publish(this.#kind, key, keyAuthorization);
      await client.completeChallenge(challenge);
      const over = await settled(
        () => this.#looked(order, authorization.url),
        "the validation",
        this.#signal,
      );
      if (over.status === "valid") return;
      throw failed("the validation", over.challenges.find(({ type }) => type === kind) ?? over);
    } finally {
      this.#store.withdraw(this.#kind, key);
    }
  }

  async #looked(order: Order, url: string): Promise<Authorization> {
    const all = await this.#account.client.getAuthorizations(order);
    const found = all.find((one) => one.url === url);
    if (found === undefined) throw new AcmeProblem("the authority has forgotten what it asked for");
    return found;
  }
}
