import { certificatesFromPem } from "../authority/pem.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { identityOf } from "../identity/identity.ts";
import type { ClientPair } from "./link.ts";

/** A client certificate, and what people want to know of it. */
export interface Credential {
  readonly pair: ClientPair;
  readonly subject: string;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Reads a client certificate. Throws with words for people. */
export async function readCredential(pair: ClientPair): Promise<Credential> {
  const [der] = certificatesFromPem(pair.certificate);
  const parsed = der === undefined ? undefined : parseCertificate(der);
  if (parsed === undefined || "malformed" in parsed)
    throw new Error("your certificate can't be read: run sallyport login");
  const { subject } = await identityOf(parsed);
  return { pair, subject, notBefore: parsed.notBefore, notAfter: parsed.notAfter };
}

/** `3 min`, `2 h`: for people. */
export function spell(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/** Throws what to do where a certificate is not good at this time. */
export function checkDates({ notBefore, notAfter }: Credential, now: number): void {
  if (now > notAfter)
    throw new Error(`your certificate expired ${spell(now - notAfter)} ago: run sallyport login`);
  if (now < notBefore)
    throw new Error(
      `your certificate is valid in ${spell(notBefore - now)} only: is this machine's clock right?`,
    );
}

/** How often it is looked at whether renewal is due: by the clock on the wall, which goes on while a laptop sleeps. */
const lookEveryMs = 20_000;
/** Between two attempts that failed. */
const againMs = 60_000;

/** Renewal is due in the last third of a certificate's life. */
const isDue = ({ notBefore, notAfter }: Credential, now: number): boolean =>
  now > notAfter - (notAfter - notBefore) / 3 && now < notAfter;

/** The client certificate of a program that runs for long: read anew for every connection, renewed before it expires. */
export class CredentialKeeper {
  readonly #read: () => ClientPair | null;
  readonly #renew: ((old: ClientPair) => Promise<void>) | null;
  readonly #warn: (line: string) => void;
  #known: Credential | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #renewing: Promise<void> | undefined;
  #notBefore = 0;

  /**
   * @param read the pair as it is now: another program may have renewed it
   * @param renew gets a new one, which `read` then gives; `null` where there is no way to
   * @param warn a line for people
   */
  constructor(
    read: () => ClientPair | null,
    renew: ((old: ClientPair) => Promise<void>) | null,
    warn: (line: string) => void,
  ) {
    this.#read = read;
    this.#renew = renew;
    this.#warn = warn;
  }

  async #load(): Promise<Credential | null> {
    const pair = this.#read();
    if (pair === null) return null;
    const known = this.#known;
    if (known?.pair.certificate === pair.certificate && known.pair.key === pair.key) return known;
    this.#known = await readCredential(pair);
    return this.#known;
  }

  /** The certificate to show now. Rejects with what to do where there is none that is good. */
  async current(): Promise<Credential> {
    let credential = await this.#load();
    if (credential === null) throw new Error("there is no client certificate: run sallyport login");
    if (isDue(credential, Date.now())) {
      await this.#attempt(credential);
      credential = (await this.#load()) ?? credential;
    }
    checkDates(credential, Date.now());
    return credential;
  }

  /** One attempt at a time; a failure is told and leaves the one there is. */
  #attempt(old: Credential): Promise<void> {
    const renew = this.#renew;
    if (renew === null || Date.now() < this.#notBefore) return Promise.resolve();
    this.#renewing ??= renew(old.pair)
      .catch((error: Error) => {
        this.#notBefore = Date.now() + againMs;
        const left = spell(old.notAfter - Date.now());
        this.#warn(
          `your certificate can't be renewed (${error.message}): run sallyport login within ${left}`,
        );
      })
      .finally(() => {
        this.#renewing = undefined;
      });
    return this.#renewing;
  }

  /** Keeps it renewed while nobody asks for it. */
  start(): void {
    this.#timer ??= setInterval(() => void this.current().catch(() => {}), lookEveryMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
