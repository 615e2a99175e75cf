import { acmeChallenges } from "./acme.ts";
import { oneOf, text } from "./values.ts";
import { variable } from "./variable.ts";

/** Those of certificates that are ordered. */
export const acmeVariables = {
  SALLYPORT_ACME: variable(
    text,
    null,
    "an authority that certificates are ordered from by ACME: `letsencrypt`, `letsencrypt-staging`, or the URL of a directory; for `SALLYPORT_HOST` and the exact names of routes that no other certificate covers. Setting it agrees to the authority's terms of service ([ACME](acme.md))",
  ),
  SALLYPORT_ACME_DIR: variable(
    text,
    null,
    "the folder that keeps the account's key and the certificates, made where it is missing; routers that share it, or their state (`SALLYPORT_STATE_URL`), order each certificate once",
  ),
  SALLYPORT_ACME_EMAIL: variable(text, null, "whom the authority writes to about the account"),
  SALLYPORT_ACME_CA: variable(
    text,
    null,
    "trust anchors for the directory's own server, where it is a private authority's; the system's unless set",
  ),
  SALLYPORT_ACME_CHALLENGE: variable(
    oneOf(...acmeChallenges),
    "tls-alpn-01",
    "how the authority is shown that a name is ours: `tls-alpn-01` at the one port, `http-01` at the admin listener",
  ),
  SALLYPORT_ACME_EAB_KID: variable(
    text,
    null,
    "the id of the key that binds the account to one that the authority knows (external account binding)",
  ),
  SALLYPORT_ACME_EAB_HMAC_KEY: variable(
    text,
    null,
    "that key: base64url, or the path of a file that holds it",
  ),
};
