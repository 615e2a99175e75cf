import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { type IdGenerator, RandomIdGenerator } from "@opentelemetry/sdk-trace-base";
import type { ConnectionRecord, RequestRecord, StatementRecord } from "../core/record.ts";
import type { ConnectionTraces, Phases } from "../observe/traces.ts";

/** A connection's trace has the connection's id: whoever has a line of the audit log has the trace. */
export class ConnectionIds implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  #next: string | null = null;

  /** For the next root span. */
  set next(connection: string) {
    this.#next = connection.replaceAll("-", "");
  }

  generateTraceId = (): string => {
    const id = this.#next ?? this.#random.generateTraceId();
    this.#next = null;
    return id;
  };

  generateSpanId = (): string => this.#random.generateSpanId();
}

/** What is not there is no attribute. */
function known(attributes: Readonly<Record<string, string | number | boolean | null>>): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}

function endpoint(text: string): { readonly address: string; readonly port: number } {
  const colon = text.lastIndexOf(":");
  return { address: text.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: Number(text.slice(colon + 1)) };
}

/** One trace a connection, with a span for each part of its way. */
export class Traces implements ConnectionTraces {
  readonly #tracer: Tracer;
  readonly #ids: ConnectionIds;
  readonly #open = new Map<string, { readonly span: Span; readonly context: Context }>();

  constructor(tracer: Tracer, ids: ConnectionIds) {
    this.#tracer = tracer;
    this.#ids = ids;
  }

  began(id: string, at: number): void {
    this.#ids.next = id;
    const span = this.#tracer.startSpan(
      "connection",
      { root: true, kind: SpanKind.SERVER, startTime: at },
      ROOT_CONTEXT,
    );
    this.#open.set(id, { span, context: trace.setSpan(ROOT_CONTEXT, span) });
  }

  dialled(
    id: string,
    server: string,
    ms: number,
    failure: { readonly reason: string; readonly message: string } | null,
  ): void {
    const { address, port } = endpoint(server);
    this.#child(id, "dial", ms, SpanKind.CLIENT, { "server.address": address, "server.port": port }, failure);
  }

  recorded(record: StatementRecord | RequestRecord): void {
    const { id, adapter, duration_ms: ms } = record;
    if (record.event === "statement") {
      // What was asked is for the audit log: traces are read by more people.
      const attributes = known({
        "db.system.name": adapter,
        "db.namespace": record.database,
        "db.response.status_code": record.error,
        "db.response.returned_rows": record.rows,
      });
      const failure = record.error === null ? null : { reason: record.error, message: "" };
      this.#child(id, "statement", ms, SpanKind.CLIENT, attributes, failure);
      return;
    }
    if (record.event === "request_started") return;
    const attributes = known({
      "http.response.status_code": record.status,
      "k8s.namespace.name": record.namespace,
      "sallyport.verb": record.verb,
      "sallyport.resource": record.resource,
    });
    const failure = record.reason === "ok" ? null : { reason: record.reason, message: record.detail ?? "" };
    this.#child(
      id,
      `${record.verb} ${record.resource ?? ""}`.trim(),
      ms,
      SpanKind.CLIENT,
      attributes,
      failure,
    );
  }

  ended(record: ConnectionRecord, phases: Phases): void {
    const { id, route, outcome, reason, detail } = record;
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(id);
    const { span, context } = open;
    const now = performance.timeOrigin + performance.now();
    const { began, hello, handshake, verified, served } = phases;
    const part = (name: string, from: number | null, to: number | null): void => {
      if (from === null) return;
      const child = this.#tracer.startSpan(name, { startTime: from }, context);
      // Where it ended early, that is why the connection did.
      if (to === null) child.setStatus({ code: SpanStatusCode.ERROR, message: reason });
      child.end(to ?? now);
    };
    part("hello", began, hello);
    if (record.tls !== null || handshake !== null) part("handshake", hello, handshake);
    if (verified !== null || (handshake !== null && served === null))
      part("verify", handshake, verified ?? served);
    part("serve", served, served === null ? null : now);
    const source = endpoint(record.source);
    const local = endpoint(record.listener);
    span.updateName(route === null ? "connection" : `connection ${route}`);
    span.setAttributes(
      known({
        "network.transport": "tcp",
        "client.address": source.address,
        "client.port": source.port,
        "server.address": local.address,
        "server.port": local.port,
        "tls.client.server_name": record.sni,
        "tls.next_protocol": record.alpn,
        "tls.protocol.name": record.tls === null ? null : "tls",
        "tls.protocol.version": record.tls?.replace(/^TLSv/, "") ?? null,
        "tls.resumed": record.tls === null ? null : record.resumed,
        "tls.client.subject": record.identity?.subject ?? null,
        "error.type": reason === "ok" ? null : reason,
        "sallyport.connection.id": id,
        "sallyport.route": route,
        "sallyport.adapter": record.adapter,
        "sallyport.upstream": record.upstream,
        "sallyport.outcome": outcome,
        "sallyport.reason": reason,
        "sallyport.bytes_in": record.bytes_in,
        "sallyport.bytes_out": record.bytes_out,
        "sallyport.ja4": record.ja4,
      }),
    );
    if (outcome === "failed") span.setStatus({ code: SpanStatusCode.ERROR, message: detail ?? reason });
    span.end(now);
  }

  /** Something that has just ended. */
  #child(
    id: string,
    name: string,
    ms: number,
    kind: SpanKind,
    attributes: Attributes,
    failure: { readonly reason: string; readonly message: string } | null,
  ): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    const now = performance.timeOrigin + performance.now();
    const span = this.#tracer.startSpan(name, { kind, attributes, startTime: now - ms }, open.context);
    if (failure !== null) {
      span.setAttribute("error.type", failure.reason);
      span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message });
    }
    span.end(now);
  }
}
