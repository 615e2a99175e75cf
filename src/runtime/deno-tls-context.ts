import { createPrivateKey } from "node:crypto";
import type { TlsServerOptions } from "../types.ts";
import { namesAlone, withIssuers } from "./names-alone.ts";
import { NodeTlsContext } from "./tls-connection.ts";

/** The key in the form that the engine reads soonest, which it does for every connection (RFC 5915). */
function soonRead(key: string): string {
  try {
    const read = createPrivateKey(key);
    return read.asymmetricKeyType === "ec" ? String(read.export({ type: "sec1", format: "pem" })) : key;
  } catch {
    // Whoever uses it says what is wrong with it.
    return key;
  }
}

/** What the engine is given for each connection, which it makes its own configuration of. */
export interface EngineOptions {
  readonly requestCert: boolean;
  readonly rejectUnauthorized: false;
}

/**
 * The chain is verified by us, and only by us. The engine would all the same, for every connection anew, verify what the
 * client shows, and nobody asks for its result. So what it is told of the authorities are their names alone, which it
 * lists for the client to choose by (RFC 8446 §4.2.4), and by which no signature can be verified; who holds the certificate's key is still proved to it. Asked first, it wants what is sent
 * behind our own chain, which is nothing; then whom it is to ask for (Deno 2.9).
 */
class NamedAuthorities implements EngineOptions {
  readonly requestCert = true;
  readonly rejectUnauthorized = false;
  readonly #names: readonly string[];
  asked = 0;

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  get ca(): readonly string[] | undefined {
    return this.asked++ === 0 ? undefined : this.#names;
  }
}

/** A context for the engine beneath `node:tls`, too. */
export class DenoTlsContext extends NodeTlsContext {
  readonly #whole: EngineOptions;
  #named: (EngineOptions & { asked: number }) | null = null;

  constructor(options: TlsServerOptions) {
    const { cert, clientCas } = options;
    super({ ...options, cert: withIssuers(cert, clientCas ?? []) });
    const context: object = { ...this.secureContext.context, key: soonRead(options.key) };
    this.#whole = { ...context, requestCert: this.requestsCertificate, rejectUnauthorized: false };
    const names = clientCas === null ? null : namesAlone(clientCas);
    if (names === null || names.length === 0) return;
    // Not copied: each time that it is asked counts.
    const named = new NamedAuthorities(names);
    for (const [key, value] of Object.entries(context)) if (key !== "ca") Reflect.set(named, key, value);
    this.#named = named;
  }

  /**
   * Configures an engine.
   *
   * @param init takes the options; zero: well
   */
  configure(init: (options: EngineOptions) => number): number {
    const named = this.#named;
    if (named === null) return init(this.#whole);
    named.asked = 0;
    const status = init(named);
    if (named.asked === 2) return status;
    // It asks otherwise than it did: then it gets all.
    this.#named = null;
    return init(this.#whole);
  }
}
