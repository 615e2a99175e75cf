import { keyPem, newKeys } from "../authority/keys.ts";
import { Extension, SubjectAlternativeNameExtension, X509CertificateGenerator } from "../authority/x509.ts";
import type { AcmeConfig } from "../config/acme.ts";
import type { CertificateAndKey } from "../core/contexts.ts";
import type { Runtime, TlsContext } from "../types.ts";
import { type AcmeStore, isToken } from "./store.ts";

/** id-pe-acmeIdentifier (RFC 8737 §6.1). */
const acmeIdentifier = "1.3.6.1.5.5.7.1.31";
const octetString = 0x04;
const dayMs = 24 * 3_600_000;

/** What a validation is shown: self-signed, for the name alone, with the hash of what the account says (RFC 8737 §3). */
export async function challengeCertificate(
  name: string,
  keyAuthorization: string,
): Promise<CertificateAndKey> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(keyAuthorization));
  const keys = await newKeys("ecdsa");
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=ACME validation",
    notBefore: new Date(now - dayMs),
    notAfter: new Date(now + dayMs),
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new SubjectAlternativeNameExtension([{ type: "dns", value: name }]),
      new Extension(
        acmeIdentifier,
        true,
        Uint8Array.of(octetString, hash.byteLength, ...new Uint8Array(hash)),
      ),
    ],
  });
  return { cert: `${certificate.toString("pem")}\n`, key: await keyPem(keys.privateKey) };
}

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
    const context = challengeCertificate(name, keyAuthorization).then((pair) =>
      this.#runtime.tlsContext({ ...pair, clientCas: null, sessionContext: "acme-validation" }),
    );
    this.#made.set(name, { keyAuthorization, context });
    return context;
  }

  /** What `http-01` asks for (RFC 8555 §8.3); `null` where nobody has such a token. */
  async answerTo(token: string): Promise<string | null> {
    const config = this.#config();
    if (config?.challenge !== "http-01" || !isToken(token)) return null;
    return this.#storeOf(config.folder).challenge("http-01", token);
  }
}
