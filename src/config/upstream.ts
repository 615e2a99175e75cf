import type { UpstreamTls } from "../core/route.ts";
import { anchorsFrom, chainFrom, type Files, pemOrPath } from "./pem.ts";
import { fail, hostTemplate, type Query, secret } from "./query.ts";
import type { SchemeInfo } from "./scheme.ts";
import { oneOf } from "./values.ts";

/** `upstream_cert=` for one that the authority makes for each user of the upstream. */
const minted = "authority";

export function upstreamTls(
  query: Query,
  info: SchemeInfo,
  files: Files,
): UpstreamTls & { readonly certificate: "none" | "given" | "minted" } {
  const mode = query.parse("upstream_tls", oneOf("off", "verify", "insecure")) ?? info.defaultUpstreamTls;
  if (mode !== "off" && info.upstreamTls === "none")
    fail(`upstream_tls=${mode} is not available on ${info.scheme} routes in this version`);
  const ca = secret(query, "upstream_ca", (text) => anchorsFrom(text, files));
  const made = info.database && query.one("upstream_cert") === minted;
  const cert = made ? null : secret(query, "upstream_cert", (text) => chainFrom(text, files));
  const key = secret(query, "upstream_key", (text) => pemOrPath(text, files));
  const sni = query.one("upstream_sni");
  const serverName = sni === null ? null : hostTemplate(sni, "upstream_sni=");
  if (mode === "off" && (made || ca !== null || cert !== null || key !== null || serverName !== null)) {
    fail("upstream_ca=, upstream_cert=, upstream_key= and upstream_sni= need upstream_tls=verify");
  }
  if (mode === "insecure" && ca !== null)
    fail("upstream_ca= makes no sense with upstream_tls=insecure, which verifies nothing");
  if ((cert === null) !== (key === null)) fail("upstream_cert= and upstream_key= go together");
  if (cert !== null && key !== null) {
    const { problem } = files.inspectPair(cert, key);
    if (problem !== null) fail(`upstream_key= ${problem}`);
  }
  const certificate = made ? "minted" : cert === null ? "none" : "given";
  return { mode, ca, cert, key, serverName, certificate };
}
