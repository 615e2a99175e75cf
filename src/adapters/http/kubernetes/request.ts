import { fillIn, type KubernetesRules, kubernetesRulesOf } from "../../../core/route.ts";
import type { Session } from "../../../core/session.ts";
import { type Reason, Refusal } from "../../../errors.ts";
import type {
  HttpClientResponse,
  HttpExchange,
  HttpFields,
  HttpRequest,
  HttpResponse,
} from "../../../http/exchange.ts";
import { asStatus } from "../../../http/kubernetes-status.ts";
import { isFromElsewhere, isFromPage } from "../../../http/origin.ts";
import { type Problem, problem } from "../../../http/problem.ts";
import { type Asked, readRequest } from "../../../http/request.ts";
import { actingAs, type Impersonated, impersonated } from "../../../identity/impersonation.ts";
import { forwardedFields } from "../forwarded-fields.ts";
import type { Asking, Dialect } from "../reverse-proxy.ts";
import { askedFor, impersonationFields, withoutCredentials } from "./credentials.ts";
import { goesOnForLong, pathAndQuery, type RequestInfo, requestInfo, withoutParameter } from "./wire.ts";

/** Whether a request goes through the API server to an app behind it. */
const isForApp = ({ subresource, verb }: RequestInfo): boolean => subresource === "proxy" || verb === "proxy";

/** A node's is the kubelet, which runs commands in any container. */
const isForPages = (info: RequestInfo): boolean => isForApp(info) && info.resource !== "nodes";

function read(request: HttpRequest): (Asked & { readonly info: RequestInfo }) | string {
  const asked = readRequest(request);
  if (typeof asked === "string") return asked;
  // An extended CONNECT goes on as a GET that upgrades (RFC 8441 §5).
  const method = request.protocol === undefined ? request.method : "GET";
  const info = requestInfo(method, asked.target);
  return "ambiguous" in info ? info.ambiguous : { ...asked, info };
}

const elsewhere = "pages of other origins have no business with a Kubernetes API";
const fromApp = "a page asks, and what an app behind the API server serves may ask apps alone";

/**
 * One request to a Kubernetes API, from its head to its record. Clients are told the router's address and, apart from
 * it, the name for TLS (`tls-server-name`): the Host they send is the former and chooses nothing here.
 */
export class KubernetesRequest implements Dialect {
  /** The client's, of which is noted how it is answered. */
  readonly exchange: HttpExchange;
  /** A watch or a log that is followed: its answer says nothing for as long as there is nothing to say. */
  readonly mayBeSilent: boolean;

  readonly #session: Session;
  readonly #rules: KubernetesRules;
  readonly #started = performance.now();
  readonly #request: HttpRequest;
  /** Who and what it is for; a string says why it is not understood. */
  readonly #read: (Asked & { readonly info: RequestInfo }) | string;
  #as: Impersonated | null = null;
  #asked = false;
  #upgraded = false;
  #status: number | null = null;
  #auditId: string | null = null;
  #refusal: Refusal | null = null;

  constructor(session: Session, exchange: HttpExchange) {
    this.#session = session;
    this.#rules = kubernetesRulesOf(session.route);
    this.#request = exchange.request;
    this.#read = read(exchange.request);
    this.mayBeSilent = typeof this.#read !== "string" && goesOnForLong(this.#read.info, this.#read.target);
    this.exchange = {
      request: exchange.request,
      signal: exchange.signal,
      respond: (response) => {
        this.#begins(response.status, response.fields, this.mayBeSilent && response.status < 300);
        return exchange.respond(response);
      },
      upgrade: (fields) => {
        this.#upgraded = true;
        this.#begins(101, fields, true);
        return exchange.upgrade(fields);
      },
    };
  }

  async ask(request: HttpRequest, { identity, captures, route }: Session): Promise<Asking | Problem> {
    if (typeof this.#read === "string") return problem(400, "protocol_error", this.#read);
    const { authority, target, info } = this.#read;
    if (isFromElsewhere(request.fields, `https://${authority}`))
      return problem(403, "source_not_allowed", elsewhere);
    // An app's page is of the API's own origin, and would act on it as whoever looks at that page.
    if (isFromPage(request.fields) && !isForPages(info)) return problem(403, "source_not_allowed", fromApp);
    const rules = this.#rules.impersonation;
    const asked = askedFor(request.fields);
    if (typeof asked === "string") return problem(403, "identity_not_allowed", asked);
    if (rules === null) {
      if (asked !== null)
        return problem(403, "identity_not_allowed", "impersonation does not pass through this router");
      return this.#asking(target, request.fields, []);
    }
    if (identity === null)
      return problem(
        403,
        "client_cert_missing",
        `route ${route.name} needs a client certificate: it says who to act as`,
      );
    const as =
      asked === null ? impersonated(rules, identity, captures) : actingAs(rules, asked, identity, captures);
    if ("problem" in as) return problem(403, "identity_not_allowed", as.problem);
    this.#as = as;
    this.#asked = asked !== null;
    const { token } = this.#rules;
    const ours: HttpFields = [
      ...(token === null
        ? []
        : ([["authorization", `Bearer ${this.#session.upstreamToken(token)}`]] as const)),
      ...impersonationFields(as),
    ];
    const forApp = isForApp(info);
    return this.#asking(
      withoutParameter(target, "access_token"),
      withoutCredentials(request.fields, forApp),
      ours,
    );
  }

  /** No trailers: the API has none, and what stands in them is looked at by nobody. */
  #asking(target: string, theirs: HttpFields, ours: HttpFields): Asking {
    const { source, client, route } = this.#session;
    const authority = this.#authority();
    const about = { address: source.address, host: authority, port: client.local.port };
    return {
      target,
      authority,
      // An API server authenticates by other means than the router's word on who is calling.
      fields: [...forwardedFields(theirs, { ...about, client: null, by: [], assertion: null }), ...ours],
      silenceMs: this.mayBeSilent ? null : route.idleTimeoutMs,
    };
  }

  /** The name in the API server's certificate, and its port where it has one of its own. */
  #authority(): string {
    const { route, captures } = this.#session;
    const { upstream } = route;
    const host = fillIn(upstream?.tls.serverName ?? upstream?.host ?? "", captures);
    const literal = host.includes(":") ? `[${host}]` : host;
    return upstream === null || upstream.port === 0 ? literal : `${literal}:${upstream.port}`;
  }

  inItsWords(_: HttpRequest, answer: Problem): HttpResponse {
    this.#refusal ??= new Refusal(answer.reason as Exclude<Reason, "ok">, answer.detail);
    return asStatus(answer);
  }

  /** The API server does not know who is asking: that is the router, not its client. */
  instead({ status, fields }: HttpClientResponse): Problem | null {
    if (status !== 401 || this.#rules.impersonation === null) return null;
    const forApp = typeof this.#read !== "string" && isForApp(this.#read.info);
    // An app behind the API server asks for a login of its own with a challenge (RFC 9110 §11.6.1), which that has none of.
    if (forApp && fields.some(([name]) => name === "www-authenticate")) return null;
    const detail = `the API server refuses the credential of route ${this.#session.route.name} (401): its operator must replace it`;
    this.#session.note(new Refusal("upstream_refused", detail));
    return problem(503, "upstream_refused", detail);
  }

  broke(refusal: Refusal): void {
    const left = this.exchange.signal.aborted && !this.#upgraded;
    this.#refusal ??= left ? new Refusal("client_closed", "the client went away") : refusal;
  }

  #begins(status: number, fields: HttpFields, goesOn: boolean): void {
    this.#status = status;
    this.#auditId = fields.find(([name]) => name === "audit-id")?.[1] ?? null;
    if (goesOn) this.#record(false);
  }

  /** Nothing more comes of it. */
  over(): void {
    if (this.exchange.signal.aborted && !this.#upgraded)
      this.broke(new Refusal("client_closed", "the client went away"));
    this.#record(true);
  }

  #record(over: boolean): void {
    const read = typeof this.#read === "string" ? null : this.#read;
    const info = read?.info;
    const [path] = pathAndQuery(read?.target ?? this.#request.target);
    this.#session.apiRequest({
      over,
      verb: info?.verb ?? this.#request.method.toLowerCase(),
      group: info?.group ?? null,
      resource: info?.resource ?? null,
      subresource: info?.subresource ?? null,
      namespace: info?.namespace ?? null,
      name: info?.name ?? null,
      path,
      user: this.#as?.user ?? null,
      groups: this.#as?.groups ?? [],
      asked: this.#asked,
      status: this.#status,
      auditId: this.#auditId,
      refusal: this.#refusal,
      durationMs: performance.now() - this.#started,
    });
  }
}
