import { type CertificateStore, certificateStore } from "../config/certificates.ts";
import type { Config } from "../config/load.ts";
import { RouteTable } from "../core/match.ts";
import { fingerprintOf } from "../core/route.ts";

/** Certificates as they were, where they are the same, text by text. */
function sameCertificates(store: CertificateStore, before: CertificateStore): CertificateStore {
  const keyOf = ({ name, cert, key }: CertificateStore["all"][number]): string => `${name}\n${cert}\n${key}`;
  const known = new Map(before.all.map((one) => [keyOf(one), one]));
  const kept = <T extends CertificateStore["all"][number]>(one: T) => known.get(keyOf(one)) ?? one;
  const { fallback, all } = store;
  const more = all.filter((one) => one !== fallback).map(kept);
  return certificateStore(fallback === null ? null : kept(fallback), more);
}

/**
 * A configuration in which what is no different from `before` is the very thing that it was: TLS sessions, connections
 * to upstreams and what is known of clients belong to those things, and go on with them.
 */
export function keepUnchanged(config: Config, before: Config): Config {
  const known = new Map(before.table.routes.map((route) => [fingerprintOf(route), route]));
  const routes = config.table.routes.map((route) => known.get(fingerprintOf(route)) ?? route);
  return {
    ...config,
    table: new RouteTable(routes),
    certificates: sameCertificates(config.certificates, before.certificates),
  };
}

/** What a reload did, by name; what it left alone is not among it. */
export interface Changes {
  readonly routes_added: readonly string[];
  readonly routes_changed: readonly string[];
  readonly routes_removed: readonly string[];
  /** Server certificates that are new, or others than before. */
  readonly certificates: readonly string[];
  readonly certificates_removed: readonly string[];
}

/** @param config what `keepUnchanged` made */
export function changesOf(config: Config, before: Config): Changes {
  const namesOf = (list: readonly { readonly name: string }[]) => new Set(list.map(({ name }) => name));
  const [now, then] = [config.table.routes, before.table.routes];
  const [names, formerNames] = [namesOf(now), namesOf(then)];
  const fresh = now.filter((route) => !then.includes(route)).map(({ name }) => name);
  const certificates = namesOf(config.certificates.all);
  return {
    routes_added: fresh.filter((name) => !formerNames.has(name)),
    routes_changed: fresh.filter((name) => formerNames.has(name)),
    routes_removed: [...formerNames].filter((name) => !names.has(name)),
    certificates: config.certificates.all
      .filter((one) => !before.certificates.all.includes(one))
      .map(({ name }) => name),
    certificates_removed: [...namesOf(before.certificates.all)].filter((name) => !certificates.has(name)),
  };
}
