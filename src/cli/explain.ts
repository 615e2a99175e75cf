import { schemes } from "../adapters/registry.ts";
import { certificatesFromPem } from "../authority/pem.ts";
import { selectCertificate } from "../config/certificates.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { pemOrPath } from "../config/pem.ts";
import { upstreamText } from "../core/dial.ts";
import type { Hit, Question } from "../core/match.ts";
import { type Reason, Refusal } from "../errors.ts";
import { admittedBy, brokenLimit } from "../identity/policy.ts";
import { createClientVerifier } from "../identity/verifier.ts";
import { silentLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { RevocationWatch } from "../revocation/watch.ts";
import { files } from "../runtime/files.ts";
import { type Ip, parseIp } from "../wire/ip.ts";
import { type Command, UsageError } from "./command.ts";
import { options } from "./options.ts";

const alerts = {
  unknown_name: "unrecognized_name",
  no_protocol: "no_application_protocol",
  source_not_allowed: "access_denied",
};

/** The client's certificate, DER, leaf first. */
function presented(path: string): readonly [Uint8Array, ...Uint8Array[]] {
  let chain: Uint8Array[];
  try {
    chain = certificatesFromPem(pemOrPath(path, files));
  } catch (error) {
    throw new UsageError(`--cert ${path} ${error instanceof Error ? error.message : String(error)}`);
  }
  const [leaf, ...rest] = chain;
  if (leaf === undefined) throw new UsageError(`--cert ${path} holds no certificate: expected a PEM chain`);
  return [leaf, ...rest];
}

/** What becomes of the client's certificate on the route that was chosen. */
async function certificateVerdict(
  { route }: Hit,
  path: string | undefined,
  source: Ip,
  config: Config,
): Promise<{ readonly reason: Reason; readonly text: string }> {
  if (!route.terminates) return { reason: "ok", text: "TLS passes through: the upstream authenticates" };
  const signIn = `a browser signs in at ${route.login}, and is held to the same rules`;
  if (route.client === "none")
    return {
      reason: "ok",
      text: `no client certificate is asked for${route.login === null ? "" : `: ${signIn}`}`,
    };
  if (path === undefined) {
    if (route.login !== null) return { reason: "ok", text: `without a certificate: ${signIn}` };
    return route.client === "optional" && route.allow.length === 0
      ? { reason: "ok", text: "without a certificate: admitted" }
      : { reason: "client_cert_missing", text: "without a certificate: refused, client_cert_missing" };
  }
  const chain = presented(path);
  try {
    // What goes wrong with revocation lists is told by what becomes of the certificate.
    const watch = new RevocationWatch(config.revocation, files, silentLog, new Metrics());
    const revocation = watch.of(route.crl);
    await watch.start();
    watch.stop();
    const anchors = route.anchors.flatMap(certificatesFromPem);
    const verifier = createClientVerifier(anchors, {
      profile: config.profile,
      groups: config.groups,
      revocation,
    });
    const { identity } = await verifier.verify({ leaf: chain[0], chain: () => chain }, Date.now());
    const rule = admittedBy(route.allow, identity);
    const limit = brokenLimit(identity, route.upstream === null ? null : route.name, source);
    if (rule !== null && limit !== null)
      return { reason: limit.reason, text: `${identity.subject}: refused, ${limit.reason}: ${limit.detail}` };
    if (rule !== null) return { reason: "ok", text: `${identity.subject}: admitted by ${rule}` };
    return {
      reason: "identity_not_allowed",
      text: `${identity.subject}: refused, identity_not_allowed: no allow rule admits it`,
    };
  } catch (error) {
    if (error instanceof Refusal)
      return { reason: error.reason, text: `refused, ${error.reason}: ${error.message}` };
    throw error;
  }
}

function otherRoutes(config: Config, question: Question, chosen: string | null) {
  return config.table.routes
    .filter(({ name }) => name !== chosen)
    .map((route) => ({ route: route.name, why: config.table.whyNot(route, question) }));
}

export const explain: Command = {
  usage: `Usage: sallyport explain --sni NAME [--alpn ID]... [--cert FILE] [--source IP] [--json]

Says which route a connection on the one port takes, what happens to it there, and why the
others do not match. No upstream is dialled; revocation lists at URLs and, where SALLYPORT_OCSP
has it, responders are asked. --source is 127.0.0.1 unless given.`,

  async run(args, io) {
    const flags = options(args, {
      sni: { type: "string" },
      alpn: { type: "string", multiple: true },
      cert: { type: "string" },
      source: { type: "string" },
      json: { type: "boolean" },
    });
    const source = parseIp(flags.source ?? "127.0.0.1");
    if (source === null) throw new UsageError(`--source ${flags.source} is no IP address`);
    const config = loadConfig(io.env, schemes, files);
    const question: Question = { serverName: flags.sni ?? null, alpn: flags.alpn ?? [], source, own: null };
    const match = config.table.match(question);
    const others = otherRoutes(config, question, match.ok ? match.route.name : null);

    if (!match.ok) {
      const answer = {
        outcome: "refused",
        reason: match.reason,
        alert: alerts[match.reason],
        detail: match.detail,
        others,
      };
      if (flags.json === true) io.out(JSON.stringify(answer, null, 2));
      else {
        io.out(`refused: ${match.reason} (${match.detail})`);
        io.out(`  the client hears the TLS alert ${answer.alert}`);
        for (const { route, why } of others) io.out(`  not ${route}: ${why}`);
      }
      return 0;
    }
    const verdict = await certificateVerdict(match, flags.cert, source, config);
    const answer = {
      outcome: verdict.reason === "ok" ? "admitted" : "refused",
      reason: verdict.reason,
      route: match.route.name,
      adapter: match.route.adapter,
      alpn: match.alpn,
      server_certificate: match.route.terminates
        ? (selectCertificate(config.certificates, question.serverName)?.name ?? null)
        : null,
      client: verdict.text,
      upstream: upstreamText(match.route, match.captures) || null,
      upstream_tls: match.route.upstream?.tls.mode ?? null,
      others,
    };
    if (flags.json === true) io.out(JSON.stringify(answer, null, 2));
    else {
      io.out(`route ${answer.route} (${match.route.variable})`);
      io.out(`  adapter      ${answer.adapter}${answer.alpn === null ? "" : `, ALPN ${answer.alpn}`}`);
      if (answer.server_certificate !== null) io.out(`  certificate  ${answer.server_certificate}`);
      io.out(`  client       ${answer.client}`);
      if (answer.upstream !== null) {
        const tls = answer.upstream_tls === "off" ? "" : `, TLS (${answer.upstream_tls})`;
        io.out(`  upstream     ${answer.upstream}${tls}`);
      }
      for (const { route, why } of others) io.out(`  not ${route}: ${why}`);
    }
    return 0;
  },
};
