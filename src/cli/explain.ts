import { schemes } from "../adapters/registry.ts";
import { certificatesFromPem } from "../authority/pem.ts";
import { selectCertificate } from "../config/certificates.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { upstreamText } from "../core/dial.ts";
import { type Match, type Question, whyNot } from "../core/match.ts";
import { Refusal } from "../errors.ts";
import { admittedBy } from "../identity/policy.ts";
import { createClientVerifier } from "../identity/verifier.ts";
import { files } from "../runtime/files.ts";
import { parseIp } from "../wire/ip.ts";
import { type Command, UsageError } from "./command.ts";
import { options } from "./options.ts";

const alerts = {
  unknown_name: "unrecognized_name",
  no_protocol: "no_application_protocol",
  source_not_allowed: "access_denied",
};

/** What becomes of the client's certificate on the route that was chosen. */
async function certificateVerdict(
  match: Extract<Match, { ok: true }>,
  path: string | undefined,
): Promise<{ admitted: boolean; text: string }> {
  const { route } = match;
  if (!route.terminates) return { admitted: true, text: "TLS passes through: the upstream authenticates" };
  if (route.client === "none") return { admitted: true, text: "no client certificate is asked for" };
  if (path === undefined) {
    const admitted = route.client === "optional" && route.allow.length === 0;
    return {
      admitted,
      text: admitted
        ? "without a certificate: admitted"
        : "without a certificate: refused, client_cert_missing",
    };
  }
  const chain = certificatesFromPem(files.read(path));
  const [leaf] = chain;
  if (leaf === undefined) throw new UsageError(`--cert ${path} holds no certificate`);
  try {
    const verifier = createClientVerifier(route.anchors.flatMap(certificatesFromPem));
    const { identity } = await verifier.verify({ leaf, chain: () => chain }, Date.now());
    const rule = admittedBy(route.allow, identity);
    if (rule === null)
      return {
        admitted: false,
        text: `${identity.subject}: refused, identity_not_allowed: no allow rule admits it`,
      };
    return { admitted: true, text: `${identity.subject}: admitted by ${rule}` };
  } catch (error) {
    if (error instanceof Refusal)
      return { admitted: false, text: `refused, ${error.reason}: ${error.message}` };
    throw error;
  }
}

function otherRoutes(config: Config, question: Question, chosen: string | null) {
  return config.table.routes
    .filter(({ name }) => name !== chosen)
    .map((route) => ({ route: route.name, why: whyNot(route, question) }));
}

export const explain: Command = {
  name: "explain",
  summary: "say which route a connection takes, and why",
  usage: `Usage: sallyport explain --sni NAME [--alpn ID]... [--cert FILE] [--source IP] [--json]

Says which route a connection on the one port takes, what happens to it there, and why the
others do not match. Nothing is dialled. --source is 127.0.0.1 unless given.`,

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
    const verdict = await certificateVerdict(match, flags.cert);
    const answer = {
      outcome: verdict.admitted ? "admitted" : "refused",
      route: match.route.name,
      adapter: match.route.adapter,
      alpn: match.alpn,
      server_certificate: match.route.terminates
        ? (selectCertificate(config.certificates, question.serverName)?.name ?? null)
        : null,
      client: verdict.text,
      upstream: upstreamText(match.route, match.captures) || null,
      others,
    };
    if (flags.json === true) io.out(JSON.stringify(answer, null, 2));
    else {
      io.out(`route ${answer.route} (${match.route.variable})`);
      io.out(`  adapter      ${answer.adapter}${answer.alpn === null ? "" : `, ALPN ${answer.alpn}`}`);
      if (answer.server_certificate !== null) io.out(`  certificate  ${answer.server_certificate}`);
      io.out(`  client       ${answer.client}`);
      if (answer.upstream !== null) io.out(`  upstream     ${answer.upstream}`);
      for (const { route, why } of others) io.out(`  not ${route}: ${why}`);
    }
    return 0;
  },
};
