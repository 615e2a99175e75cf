import type { Route } from "../core/route.ts";
import { validationProtocol } from "../core/validation.ts";
import type { ConfigProblem } from "../errors.ts";
import { type CertificateStore, certificateFor, pairUp, type ServerCertificate } from "./certificates.ts";
import { anchorsFrom, certificatesIn, type Files, textAt } from "./pem.ts";
import type { Values } from "./variables.ts";

/** How an authority is shown that a name is ours (RFC 8737, RFC 8555 §8.3). */
export const acmeChallenges = ["tls-alpn-01", "http-01"] as const;
export type AcmeChallenge = (typeof acmeChallenges)[number];

/** Where certificates come from by ACME (RFC 8555), and where they are kept. */
export interface AcmeSettings {
  /** The URL of the authority's directory. */
  readonly directory: string;
  readonly email: string | null;
  /** What is kept of this directory: the account's key, certificates, and what routers that share it tell each other. */
  readonly folder: string;
  /** Trust anchors for the directory's server, PEM; `null`: the system's. */
  readonly ca: readonly string[] | null;
  /** The account that the authority's own customer has already (RFC 8555 §7.3.4). */
  readonly externalAccount: { readonly kid: string; readonly hmacKey: string } | null;
  readonly challenge: AcmeChallenge;
}

export interface AcmeConfig extends AcmeSettings {
  /** Names of routes that no certificate of the configuration covers. */
  readonly names: readonly string[];
}

const directories: Readonly<Record<string, string>> = {
  letsencrypt: "https://acme-v02.api.letsencrypt.org/directory",
  "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
};

/** A directory's URL, or a name that stands for one. Throws with words for the user. */
function directoryOf(text: string): URL {
  const url = directories[text] ?? text;
  if (!/^https:\/\/[!-~]+$/i.test(url) || !URL.canParse(url) || new URL(url).username !== "")
    throw new Error(
      `expected ${Object.keys(directories).join(", ")} or the https:// URL of an ACME directory`,
    );
  return new URL(url);
}

/** A folder for each directory: what one authority gave is nothing to another. */
const folderOf = (parent: string, { host, pathname }: URL): string =>
  `${parent.replace(/(.)\/+$/, "$1")}/${`${host}${pathname}`.replace(/[^A-Za-z0-9._]+/g, "-").replace(/-$/, "")}`;

/** A MAC key as authorities print it, in base64 or base64url; or the path of a file that holds it. */
function macKey(text: string, files: Files): string {
  const key = (
    /^\.{0,2}\//.test(text) ? textAt(text, files, "the path of a file with the MAC key") : text
  ).trim();
  // It is a secret: not repeated.
  if (/^[A-Za-z0-9+/_-]{16,}={0,2}$/.test(key)) return key;
  throw new Error("expected a MAC key in base64url, or the path of a file that holds one, such as ./eab.key");
}

const others = [
  "SALLYPORT_ACME_DIR",
  "SALLYPORT_ACME_EMAIL",
  "SALLYPORT_ACME_CA",
  "SALLYPORT_ACME_EAB_KID",
  "SALLYPORT_ACME_EAB_HMAC_KEY",
  "SALLYPORT_ACME_CHALLENGE",
] as const;

/** `null` where no certificates are ordered. */
export function readAcme(
  values: Values,
  files: Files,
  problems: ConfigProblem[],
  warnings: string[],
): AcmeSettings | null {
  const { SALLYPORT_ACME: text, SALLYPORT_ACME_DIR: parent } = values;
  if (text === null) {
    const set = others.filter((name) => values[name] !== null && name !== "SALLYPORT_ACME_CHALLENGE");
    if (set.length > 0)
      warnings.push(`${set.join(" and ")} is set, and SALLYPORT_ACME is not: no certificates are ordered`);
    return null;
  }
  const attempt = <T>(name: string, read: () => T): T | null => {
    try {
      return read();
    } catch (error) {
      problems.push({ name, message: error instanceof Error ? error.message : String(error) });
      return null;
    }
  };
  const directory = attempt("SALLYPORT_ACME", () => directoryOf(text));
  if (parent === null) {
    const message = "expected a folder that outlasts the router: it keeps the account's key and certificates";
    problems.push({ name: "SALLYPORT_ACME_DIR", message });
  }
  const caText = values.SALLYPORT_ACME_CA;
  const ca = caText === null ? null : attempt("SALLYPORT_ACME_CA", () => anchorsFrom(caText, files));
  const { SALLYPORT_ACME_EAB_KID: kid, SALLYPORT_ACME_EAB_HMAC_KEY: hmacText } = values;
  const hmacKey =
    hmacText === null ? null : attempt("SALLYPORT_ACME_EAB_HMAC_KEY", () => macKey(hmacText, files));
  if (kid !== null && hmacText === null)
    problems.push({
      name: "SALLYPORT_ACME_EAB_HMAC_KEY",
      message: "expected the key of SALLYPORT_ACME_EAB_KID",
    });
  if (hmacText !== null && kid === null)
    problems.push({
      name: "SALLYPORT_ACME_EAB_KID",
      message: "expected the id of SALLYPORT_ACME_EAB_HMAC_KEY",
    });
  if (directory === null || parent === null) return null;
  return {
    directory: directory.href,
    email: values.SALLYPORT_ACME_EMAIL,
    folder: folderOf(parent, directory),
    ca,
    externalAccount: kid === null || hmacKey === null ? null : { kid, hmacKey },
    challenge: values.SALLYPORT_ACME_CHALLENGE ?? "tls-alpn-01",
  };
}

/**
 * Why no certificate can be ordered for a name, in words that go behind it; `null`: one can.
 *
 * @param name as the route has it: exact, or with a wildcard or captures
 * @param routes those that pass TLS through take validations of their names themselves
 */
export function whyNotOrdered(
  { challenge }: AcmeSettings,
  { text, variables }: Route["names"][number],
  routes: readonly Route[],
): string | null {
  if (variables.length > 0) return `can't be had by ${challenge}, which proves exact names alone`;
  if (/(?:^|\.)localhost$/.test(text)) return "is every machine's own: no authority certifies it";
  const taker = routes.find(
    ({ terminates, alpn, names }) => !terminates && alpn === null && names.some((name) => name.text === text),
  );
  return taker === undefined || challenge !== "tls-alpn-01"
    ? null
    : `can't be had by tls-alpn-01, since route ${taker.name} takes ${validationProtocol} for it`;
}

/** The names of routes that end TLS here, as far as certificates can be ordered for them and none is there. */
export function namesToOrder(
  settings: AcmeSettings,
  routes: readonly Route[],
  configured: CertificateStore,
): readonly string[] {
  const names = routes
    .filter(({ terminates }) => terminates)
    .flatMap((route) => route.names)
    .filter((name) => whyNotOrdered(settings, name, routes) === null)
    .map(({ text }) => text)
    .filter((name) => certificateFor(configured, name) === undefined);
  return [...new Set(names)].sort();
}

/** Where a certificate that was ordered is: its key first, then the chain. */
export const orderedPath = (folder: string, name: string): string => `${folder}/certificates/${name}.pem`;

const privateKey = /-----BEGIN PRIVATE KEY-----[\s\S]*?-----END PRIVATE KEY-----/;

/** Takes apart what is in such a file. Throws with words for the user. */
export function orderedPair(
  name: string,
  text: string,
  files: Pick<Files, "inspectPair">,
): ServerCertificate {
  const [key] = privateKey.exec(text) ?? [];
  const chain = certificatesIn(text);
  if (key === undefined || chain.length === 0) throw new Error("expected a private key and its chain");
  const pair = pairUp(name, `${chain.join("\n")}\n`, `${key}\n`, files);
  // What it says beyond the name that it was ordered for is not for us to serve.
  if (!pair.names.includes(name))
    throw new Error(`is for ${pair.names.join(", ") || "no name"}, not ${name}`);
  return { ...pair, names: [name] };
}

/** The certificates that were had so far, by this router or another that shares the folder. */
export function orderedCertificates(
  { folder, names }: AcmeConfig,
  files: Files,
  problems: ConfigProblem[],
): readonly ServerCertificate[] {
  return names.flatMap((name) => {
    const path = orderedPath(folder, name);
    let text: string;
    try {
      text = files.read(path);
    } catch (error) {
      // It is still to come.
      if ((error as { readonly code?: unknown }).code === "ENOENT") return [];
      problems.push({ name: "SALLYPORT_ACME_DIR", message: `${path} can't be read` });
      return [];
    }
    try {
      return [orderedPair(name, text, files)];
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      problems.push({ name: "SALLYPORT_ACME_DIR", message: `${path}: ${why}; remove it to order another` });
      return [];
    }
  });
}
