import type { Reason } from "../errors.ts";
import type { Certificate } from "./certificate.ts";
import type { PeerName } from "./peer-name.ts";
import type { Profile } from "./profile.ts";

/** What the leaf is to be used for (RFC 5280 §4.2.1.12); `other`: for what `extendedKeyUsage` asks for, and no TLS. */
export type Purpose = "client" | "server" | "other";

export type FailureReason = Extract<
  Reason,
  "client_cert_untrusted" | "client_cert_expired" | "client_cert_unfit" | "client_cert_revoked"
>;

/** Why there is no valid path: which certificate breaks which rule. */
export interface PathFailure {
  readonly reason: FailureReason;
  /** For people: names the certificate, the rule and, where there is one, the section. */
  readonly detail: string;
}

export type PathResult =
  | {
      readonly ok: true;
      /** Leaf first, the anchor last. */
      readonly path: readonly Certificate[];
      /** The span in which every certificate of the path is valid, milliseconds since 1970, both ends included. */
      readonly notBefore: number;
      readonly notAfter: number;
    }
  | { readonly ok: false; readonly failure: PathFailure };

export interface PathQuestion {
  readonly leaf: Certificate;
  /** In any order; useless ones do no harm. */
  readonly intermediates: readonly Certificate[];
  readonly anchors: readonly Certificate[];
  readonly purpose: Purpose;
  /** Milliseconds since 1970. */
  readonly now: number;
  /**
   * RFC 5280 §6 and no more: the leaf may be an authority, and need not say what it is for. Not for who is at
   * the other end of a connection.
   */
  readonly pathOnly?: boolean;
  /** How many intermediates, not counting self-issued ones, there may be. */
  readonly maxIntermediates?: number;
  /** `private` where it is left out. */
  readonly profile?: Profile;
  /** Names that the leaf must have, all of them. */
  readonly peerNames?: readonly PeerName[];
  /** Bits of keyUsage (digitalSignature is 0) and purposes (object identifiers) that the leaf must have. */
  readonly keyUsage?: readonly number[];
  readonly extendedKeyUsage?: readonly string[];
  /** Is any of a path revoked that is valid otherwise? Where it is an issuer, another path may still be found. */
  readonly revocation?: (path: readonly Certificate[]) => Promise<PathFailure | undefined>;
}

export type Role = "leaf" | "intermediate" | "anchor";
