import { schemes } from "../adapters/registry.ts";
import { assertionKeysOf } from "../assertion-keys.ts";
import { checkChallenge } from "../certificate-orders.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { upstreamTemplate } from "../core/dial.ts";
import type { Route } from "../core/route.ts";
import type { Provider } from "../enrolment/provider.ts";
import { readSource } from "../revocation/read-lists.ts";
import { files } from "../runtime/files.ts";
import { selectRuntime } from "../runtime/select.ts";
import { callbackPath } from "../sign-in/paths.ts";
import { formatCidr } from "../wire/ip.ts";
import type { Command } from "./command.ts";
import { options } from "./options.ts";

/** A route as people want to see it; no key and no password is in it. */
export function routeSummary(route: Route) {
  const { upstream } = route;
  return {
    name: route.name,
    scheme: route.scheme,
    sni: route.names.map((pattern) => pattern.text),
    alpn: route.alpn,
    client: route.client,
    login: route.login,
    allow: route.allow.map((rule) => rule.text),
    crl: route.crl.map(({ name }) => name),
    expiry_grace_ms: Number.isFinite(route.expiryGraceMs) ? route.expiryGraceMs : null,
    source: route.sources?.map(formatCidr) ?? null,
    port: route.port,
    upstream: upstreamTemplate(route) || null,
    upstream_tls: upstream?.tls.mode ?? null,
    send_proxy: upstream?.sendProxy ?? null,
    idle_timeout_ms: route.idleTimeoutMs,
    max_connections: route.maxConnections,
  };
}

/** What the routes' revocation lists say; those at URLs are not asked for. */
function revocationLists(config: Config) {
  const sources = new Map(config.table.routes.flatMap(({ crl }) => crl.map((one) => [one.name, one])));
  return [...sources.values()].map((source) => {
    if (source.kind === "url") return { source: source.name, lists: null };
    const lists = readSource(source, files).map(({ issuer, revoked, nextUpdate }) => ({
      issuer,
      revoked: revoked.size,
      next_update: new Date(nextUpdate).toISOString(),
    }));
    return { source: source.name, lists };
  });
}

function table(config: Config): string[] {
  const rows = config.table.routes.map((route) => {
    const { sni, alpn, client, login, allow, upstream, port } = routeSummary(route);
    const who =
      login === null ? client : client === "none" ? `login=${login}` : `${client} or login=${login}`;
    return [
      route.name,
      route.scheme,
      [...sni, ...(port === null ? [] : [`port ${port}`])].join(" "),
      alpn?.join(" ") ?? "any",
      who === "none" ? "-" : `${who}${allow.length > 0 ? `: ${allow.join(" or ")}` : ""}`,
      upstream ?? "-",
    ];
  });
  const all = [["ROUTE", "SCHEME", "NAMES", "ALPN", "CLIENT", "UPSTREAM"], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  return all.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** Who gets certificates from the router, and by whose word. */
function enrolmentSummary({ enrolment }: Config) {
  if (enrolment === null) return null;
  const { directory, lifetimeMs, providers } = enrolment;
  return { directory, lifetime_ms: lifetimeMs, providers: providersSummary(providers) };
}

/** Where browsers sign in, and for how long. */
function loginSummary({ login, table }: Config) {
  const used = (login?.providers ?? []).filter(({ name }) =>
    table.routes.some((route) => route.login === name),
  );
  if (login === null || used.length === 0) return null;
  return { lifetime_ms: login.lifetimeMs, providers: providersSummary(used) };
}

const providersSummary = (providers: readonly Provider[]) =>
  providers.map(({ name, issuer, clientId, audiences, require, lifetimeMs }) => ({
    name,
    issuer,
    client_id: clientId,
    audiences,
    require: require.map((all) => all.map(({ claim, pattern }) => `${claim}:${pattern}`)),
    lifetime_ms: lifetimeMs,
  }));

function enrolmentLines(config: Config): string[] {
  const authority = enrolmentSummary(config);
  const login = loginSummary(config);
  const providers = new Map(
    [...(authority?.providers ?? []), ...(login?.providers ?? [])].map((one) => [one.name, one]),
  );
  if (authority === null && login === null) return [];
  return [
    "",
    ...(authority === null ? [] : [`AUTHORITY  ${authority.directory}`]),
    ...(login === null
      ? []
      : [
          `LOGIN      browsers, for ${login.lifetime_ms / 60_000} minutes; the provider sends them to https://${config.host}${callbackPath}`,
        ]),
    ...[...providers.values()].map(({ name, issuer, audiences, require }) => {
      const rules = require.length === 0 ? "everybody" : require.map((all) => all.join(",")).join(" or ");
      return `PROVIDER   ${name}: ${issuer}, for ${audiences.join(" ")}: ${rules}`;
    }),
  ];
}

const acmeSummary = ({ acme }: Config) =>
  acme === null
    ? null
    : {
        directory: acme.directory,
        folder: acme.folder,
        challenge: acme.challenge,
        external_account: acme.externalAccount?.kid ?? null,
        names: acme.names,
      };

function acmeLines({ acme }: Config): string[] {
  if (acme === null) return [];
  const names = acme.names.length === 0 ? "nothing to order" : acme.names.join(", ");
  return ["", `ACME       ${acme.directory}, ${acme.challenge}: ${names}`];
}

export const check: Command = {
  usage: `Usage: sallyport check [--json]

Reads the environment as "serve" would, prints the effective routing table without secrets,
and exits with 2 where the router would not start.`,

  async run(args, io) {
    const flags = options(args, { json: { type: "boolean" } });
    const config = loadConfig(io.env, schemes, files);
    const own = config.table.routes.find(({ adapter }) => adapter === "app");
    await assertionKeysOf(config.jwtKey);
    if (config.enrolment !== null) {
      const { openIssuerOf } = await import("../authority-api.ts");
      await openIssuerOf(config.enrolment, own?.anchors ?? [], files);
    }
    if (config.acme !== null) checkChallenge(await selectRuntime(), config);
    if (flags.json === true) {
      const { listen, admin, host, warnings } = config;
      io.out(
        JSON.stringify(
          {
            listen,
            admin,
            host,
            routes: config.table.routes.map(routeSummary),
            revocation_lists: revocationLists(config),
            authority: enrolmentSummary(config),
            login: loginSummary(config),
            acme: acmeSummary(config),
            warnings,
          },
          null,
          2,
        ),
      );
      return 0;
    }
    for (const line of [...table(config), ...enrolmentLines(config), ...acmeLines(config)]) io.out(line);
    for (const { source, lists } of revocationLists(config)) {
      for (const { issuer, revoked, next_update } of lists ?? [])
        io.out(`revocation list ${source}: ${issuer}, ${revoked} revoked, next update ${next_update}`);
      if (lists === null) io.out(`revocation list ${source}: to be asked for`);
    }
    for (const warning of config.warnings) io.err(`warning: ${warning}`);
    return 0;
  },
};
