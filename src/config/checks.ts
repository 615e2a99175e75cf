import { RouteTable } from "../core/match.ts";
import type { NamePattern, Route } from "../core/route.ts";
import type { ConfigProblem } from "../errors.ts";
import { type AcmeConfig, whyNotOrdered } from "./acme.ts";
import { type CertificateStore, certificateFor } from "./certificates.ts";
import { ownRoutes } from "./own-routes.ts";
import type { SchemeInfo } from "./scheme.ts";
import type { SeparateListener } from "./separate.ts";
import type { Address } from "./values.ts";

/** What is wrong between parts of the configuration that are sound one by one. */

export function checkRoutes(
  routes: readonly Route[],
  own: readonly Route[],
  problems: ConfigProblem[],
): void {
  const reserved: readonly string[] = Object.values(ownRoutes);
  for (const { name, variable } of routes) {
    if (reserved.includes(name))
      problems.push({
        name: variable,
        message: `the name ${name} is the router's own, at SALLYPORT_HOST; choose another`,
      });
  }
  for (const { first, second, detail } of new RouteTable([...routes, ...own]).conflicts()) {
    const [later, earlier] = own.includes(second) ? [first, second] : [second, first];
    const other = later === earlier ? "itself" : earlier.variable;
    problems.push({ name: later.variable, message: `conflicts with ${other}: ${detail}` });
  }
}

export const thisMachine = /^(?:localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/i;

/** Passwords that whoever is on the way to the upstream, or stands in for it, would hear. */
export function checkPasswords(
  routes: readonly Route[],
  schemes: readonly SchemeInfo[],
  warnings: string[],
): void {
  for (const { variable, scheme, upstream, kubernetes } of routes) {
    if (upstream === null) continue;
    const hasToken = (kubernetes?.token ?? null) !== null;
    if (!hasToken && (upstream.credentials?.password ?? null) === null) continue;
    if (upstream.tls.mode === "verify" || thisMachine.test(upstream.host)) continue;
    if (!hasToken && schemes.find((one) => one.scheme === scheme)?.saysPassword !== true) continue;
    const how = upstream.tls.mode === "off" ? "in the clear" : "in TLS that is not verified";
    const { host, port, via } = upstream;
    const where = via === null ? `${host}:${port}` : `${host}, behind agent ${via},`;
    warnings.push(
      `${variable}: the ${hasToken ? "token" : "password"} goes to ${where} ${how}; set upstream_tls=verify`,
    );
  }
}

/**
 * Two listeners can't have one port, unless the system chooses it.
 *
 * @param others plain HTTP listeners by variable
 */
export function checkPorts(
  routes: readonly Route[],
  separate: readonly SeparateListener[],
  main: Address | null,
  others: Readonly<Record<string, Address | null>>,
  problems: ConfigProblem[],
): void {
  if (main === null) return;
  const taken = [{ ...main, variable: "SALLYPORT_LISTEN" }];
  const everywhere = ["0.0.0.0", "::"];
  const claim = (variable: string, what: string, { host, port }: Address): void => {
    const meets = (other: string): boolean =>
      other === host || everywhere.includes(other) || everywhere.includes(host);
    const holder = taken.find((one) => port !== 0 && one.port === port && meets(one.host));
    if (holder === undefined) taken.push({ host, port, variable });
    else
      problems.push({ name: variable, message: `${what}${port} is the port of ${holder.variable} already` });
  };
  for (const [variable, address] of Object.entries(others))
    if (address !== null) claim(variable, "port ", address);
  for (const { variable, port } of separate) claim(variable, "port ", { host: main.host, port });
  for (const { variable, port } of routes)
    if (port !== null) claim(variable, "port=", { host: main.host, port });
}

/** A name that the pattern matches, for a certificate to cover: any label in front of the literal rest. */
const exampleName = ({ variables, suffix }: NamePattern): string =>
  [...variables.map(() => "any"), suffix].join(".");

export function checkCertificates(
  routes: readonly Route[],
  certificates: CertificateStore,
  acme: AcmeConfig | null,
  problems: ConfigProblem[],
  warnings: string[],
): void {
  const { fallback } = certificates;
  for (const route of routes) {
    if (!route.terminates) continue;
    if (route.names.length === 0 && fallback === null) {
      problems.push({
        name: route.variable,
        message: "has no sni=, so it needs SALLYPORT_CERT and SALLYPORT_KEY",
      });
    }
    for (const pattern of route.names) {
      if (certificateFor(certificates, exampleName(pattern)) !== undefined) continue;
      if (acme?.names.includes(pattern.text) === true) continue;
      if (fallback === null) {
        const why = acme === null ? null : whyNotOrdered(acme, pattern, routes);
        const otherwise = "set SALLYPORT_CERT and SALLYPORT_KEY, or add one to SALLYPORT_CERT_DIR";
        problems.push({
          name: route.variable,
          message: `no certificate for ${pattern.text}${why === null ? "" : `, which ${why}`}: ${otherwise}`,
        });
      } else {
        warnings.push(
          `${route.variable}: no certificate covers ${pattern.text}; clients get ${fallback.name} (${fallback.names.join(", ")})`,
        );
      }
    }
  }
  for (const { name, notAfter } of certificates.all) {
    if (notAfter.getTime() < Date.now())
      warnings.push(`the certificate ${name} expired on ${notAfter.toISOString()}`);
  }
}
