import { Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Applicant, IssuedCertificate } from "../src/enrolment/enrolment.ts";
import type { EnrolmentRefusal } from "../src/enrolment/refusal.ts";

/** What the authority does for its API; made by the composition root. */
export interface AuthorityParts {
  /** Throws an `EnrolmentRefusal`. */
  readonly issue: (body: unknown, applicant: Applicant) => Promise<IssuedCertificate>;
  /** Its certificates, PEM. */
  readonly bundle: string;
  /** What it has revoked, PEM. */
  readonly crl: () => Promise<string>;
  /** The same for `sshd`: OpenSSH's own kind of list. */
  readonly sshKrl: () => Promise<Uint8Array>;
  /** Where people log in. */
  readonly logins: readonly {
    readonly name: string;
    readonly issuer: string;
    readonly client_id: string;
    readonly scope: string;
  }[];
}

const isRefusal = (error: unknown): error is EnrolmentRefusal =>
  error instanceof Error && error.name === "EnrolmentRefusal";

const pem = { "Content-Type": "application/x-pem-file" };

/** The authority's API: how people and machines get their certificates. */
export function createAuthorityApi(parts: AuthorityParts): Hono<{ Bindings: Applicant }> {
  const api = new Hono<{ Bindings: Applicant }>();
  api.post("/v1/certificates", async (c) => {
    // No form of another site's can send this type, so no page can spend a browser's certificate.
    const isJson = /^application\/json\s*(;|$)/i.test(c.req.header("Content-Type") ?? "");
    // What is no JSON is refused like anything else: counted, and recorded.
    const body: unknown = isJson ? await c.req.json().catch(() => undefined) : undefined;
    try {
      return c.json(await parts.issue(body, c.env), 201);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (error.retryAfter !== null) c.header("Retry-After", String(error.retryAfter));
      const { reason, message: detail } = error;
      return c.json({ error: { reason, detail } }, error.status as ContentfulStatusCode);
    }
  });
  api.get("/v1/ca", (c) => c.text(parts.bundle, 200, pem));
  api.get("/v1/crl", async (c) => c.text(await parts.crl(), 200, pem));
  api.get("/v1/ssh-krl", async (c) =>
    c.body((await parts.sshKrl()) as Uint8Array<ArrayBuffer>, 200, {
      "Content-Type": "application/octet-stream",
    }),
  );
  api.get("/v1/login", (c) => c.json({ providers: parts.logins }));
  return api;
}
