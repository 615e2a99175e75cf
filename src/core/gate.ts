import type { HttpRequest, HttpResponse } from "../http/exchange.ts";
import type { Problem } from "../http/problem.ts";
import type { Asked } from "../http/request.ts";
import type { Identity } from "../identity/identity.ts";

/** Whom a request is from that came without a certificate. */
export interface Visitor {
  readonly identity: Identity;
  /** Has `end` called, once, when what they showed is good no more; returns what calls that off. */
  hold(end: () => void): () => void;
}

/** What becomes of a request: it goes on, for a visitor where one is known, or is answered at once. */
export type Judgement = { readonly visitor: Visitor | null } | { readonly answer: HttpResponse | Problem };

/** Lets in requests without a client certificate, one by one, on one connection. */
export interface Gate {
  /** @param switches whether it asks to switch protocols */
  judge(request: HttpRequest, asked: Asked, switches: boolean): Promise<Judgement>;
}
