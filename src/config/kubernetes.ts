import type { KubernetesRules, UpstreamToken } from "../core/route.ts";
import {
  type ActingRule,
  type ImpersonationRules,
  type Nobody,
  parseActing,
  parseMapped,
} from "../identity/impersonation.ts";
import type { Right } from "../identity/rights.ts";
import { bearerToken } from "../upstream/token-files.ts";
import { type Files, textAt } from "./pem.ts";
import { fail, type Query, secret } from "./query.ts";
import type { SchemeInfo } from "./scheme.ts";
import { oneOf } from "./values.ts";

/** What the certificate says of a person's name, the most usual first. */
const defaultUser = ["{cn}", "{email}", "{uri}"];
const defaultGroups = ["{group}"];
const mapping = ["kube_user", "kube_groups", "kube_uid", "kube_extra", "kube_as"] as const;

type Captures = readonly string[];

const sound = <T extends object>(key: string, value: T | Nobody): T =>
  "problem" in value ? fail(`${key}=${value.problem}`) : value;

const rightsOf = (key: string, texts: readonly string[], captures: Captures): readonly Right[] =>
  texts.map((text) => sound(key, parseMapped(text, captures)));

/** The key of an extra, as Kubernetes wants it: in lower case. */
const extraKey = /^[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$/;

function extras(query: Query, captures: Captures): ImpersonationRules["extra"] {
  return query.items("kube_extra").map((text) => {
    const at = text.indexOf("=");
    const key = text.slice(0, Math.max(at, 0));
    if (!extraKey.test(key))
      fail(
        `kube_extra=${JSON.stringify(text)}: expected NAME=VALUE with a name in small letters, such as example.com/team={ou}`,
      );
    return { key, value: sound("kube_extra", parseMapped(text.slice(at + 1), captures)) };
  });
}

/** Groups, of which there may be none. */
function groups(query: Query, captures: Captures): readonly Right[] {
  const texts = query.items("kube_groups");
  if (texts.includes("off"))
    return texts.length === 1 ? [] : fail("kube_groups=off goes with no other group");
  return rightsOf("kube_groups", texts.length === 0 ? defaultGroups : texts, captures);
}

function impersonation(query: Query, captures: Captures): ImpersonationRules {
  const users = query.items("kube_user");
  const uid = query.one("kube_uid");
  const as: readonly ActingRule[] = query
    .all("kube_as")
    .map((text) => sound("kube_as", parseActing(text, captures)));
  return {
    user: rightsOf("kube_user", users.length === 0 ? defaultUser : users, captures),
    groups: groups(query, captures),
    uid: uid === null ? null : sound("kube_uid", parseMapped(uid, captures)),
    extra: extras(query, captures),
    as,
  };
}

function tokenIn(query: Query, files: Files): UpstreamToken | null {
  const text = query.one("upstream_token");
  const path = query.one("upstream_token_file");
  if (text !== null && path !== null) fail("upstream_token= and upstream_token_file= don't go together");
  if (text !== null) return { text: secret(query, "upstream_token", bearerToken) ?? "" };
  if (path === null) return null;
  secret(query, "upstream_token_file", () => bearerToken(textAt(path, files, "a file with a token in it")));
  return { path };
}

/** Who clients are to the API server, and what is written down; `null` where the scheme is another. */
export function kubernetesRules(
  query: Query,
  info: SchemeInfo,
  hasCertificate: boolean,
  files: Files,
  captures: Captures,
): KubernetesRules | null {
  if (info.adapter !== "kubernetes") return null;
  const token = tokenIn(query, files);
  if (token !== null && hasCertificate)
    fail("upstream_cert= and a token don't go together: an API server takes one of them for who is asking");
  const speaks = token !== null || hasCertificate;
  const needless = mapping.find((key) => query.all(key).length > 0);
  if (!speaks && needless !== undefined)
    fail(
      `${needless}= needs upstream_token=, upstream_token_file= or upstream_cert=: without one, clients show the API server who they are themselves`,
    );
  if (speaks && query.one("client") === "none")
    fail("client=none makes no sense where the router asks in its clients' place: there is nobody to act as");
  return {
    token,
    impersonation: speaks ? impersonation(query, captures) : null,
    auditRequests: query.parse("audit", oneOf("requests", "off")) !== "off",
  };
}
