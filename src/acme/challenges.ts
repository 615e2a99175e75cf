import type { AcmeConfig } from "../config/acme.ts";
import type { Runtime, TlsContext } from "../types.ts";
import { type AcmeStore, isToken } from "./store.ts";

/** Answers validations that somebody who shares the folder has asked for. */
export class Challenges {
  readonly #runtime: Pick<Runtime, "tlsContext">;
  readonly #config: () => AcmeConfig | null;
  readonly #storeOf: (folder: string) => AcmeStore;
  /** The last few, by name. */
  readonly #made = new Map<
    string,
    { readonly keyAuthorization: string; readonly context: Promise<TlsContext> }
  >();

  constructor(
    runtime: Pick<Runtime, "tlsContext">,
    config: () => AcmeConfig | null,
    storeOf: (folder: string) => AcmeStore,
  ) {
    this.#runtime = runtime;
    this.#config = config;
    this.#storeOf = storeOf;
  }

  /** The context that shows that a name is ours; `null` where nobody has asked for its validation. */
  async contextFor(name: string): Promise<TlsContext | null> {
    const config = this.#config();
    // Names of other routers that share the folder are not ours to answer for, nor those that are passed through.
    if (config?.challenge !== "tls-alpn-01" || !config.names.includes(name)) return null;
    const keyAuthorization = await this.#storeOf(config.folder).challenge("tls-alpn-01", name);
    if (keyAuthorization === null) {
      this.#made.delete(name);
      return null;
    }
    const known = this.#made.get(name);
    if (known?.keyAuthorization === keyAuthorization) return known.context;
    const context = this.#contextWith(name, keyAuthorization);
    this.#made.set(name, { keyAuthorization, context });
    return context;
  }

  async #contextWith(name: string, keyAuthorization: string): Promise<TlsContext> {
    const { challengeCertificate } = await import("./challenge-certificate.ts");
    const pair = await challengeCertificate(name, keyAuthorization);
    return this.#runtime.tlsContext({ ...pair, clientCas: null, sessionContext: "acme-validation" });
  }

  /** What `http-01` asks for (RFC 8555 §8.3); `null` where nobody has such a token. */
  async answerTo(token: string): Promise<string | null> {
    const config = this.#config();
    if (config?.challenge !== "http-01" || !isToken(token)) return null;
    return this.#storeOf(config.folder).challenge("http-01", token);
  }
}
