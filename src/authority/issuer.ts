import type { Person } from "./authority.ts";

/** Placeholder of the interface until the authority's own branch is merged. */
export interface Limits {
  readonly sources?: readonly string[];
  readonly routes?: readonly string[];
}
export interface ClientRequest {
  readonly publicKey: Uint8Array;
  readonly person: Person;
  readonly lifetimeMs: number;
  readonly limits?: Limits;
}
export interface Issuer {
  issueClient(
    request: ClientRequest,
    now?: number,
  ): Promise<{ certificate: string; chain: readonly string[]; serial: string; expires: string }>;
  readonly chain: readonly string[];
  crl(): Promise<string>;
}
export declare function openIssuer(directory: string): Promise<Issuer>;
