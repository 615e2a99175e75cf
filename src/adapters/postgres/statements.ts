import type { Session, Statement } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection, Taps } from "../../types.ts";
import { ObservedConnection } from "../observed.ts";
import { MessageStream } from "./message-stream.ts";
import { type Asked, askedBy, isCut, maxText, type Text, textAt, unknown } from "./steps.ts";
import { parseError } from "./wire.ts";

/** Prepared statements and portals that are remembered. */
const maxNames = 1000;
/** Messages that wait for their answers, and characters in them; with more, the client waits. */
const maxWaiting = 10_000;
const maxWaitingText = 1_000_000;

type Step = Asked & { readonly started: number; rows: number | null; error: string | null };

const lengthOf = (step: Step | undefined): number =>
  step?.kind === "query" || step?.kind === "parse" ? step.what.text.length : 0;

/** The number at the end of `INSERT 0 5` and `SELECT 5`; `CREATE TABLE` has none. */
function rowsOf(tag: string): number | null {
  const [, count] = / (\d+)$/.exec(tag) ?? [];
  return count === undefined ? null : Number(count);
}

/**
 * Pairs what a client asks with what the server answers: the simple and the extended protocol, pipelines and COPY
 * (PostgreSQL documentation, "Message Flow").
 */
export class StatementLog {
  readonly #report: (statement: Statement) => void;
  readonly #now: () => number;
  /** As the server has them: changed when it answers, since it may refuse. */
  readonly #prepared = new Map<string, Text>();
  readonly #portals = new Map<string, Text>();
  readonly #client: MessageStream;
  readonly #server: MessageStream;
  #steps: Step[] = [];
  /** How many of the steps are over; they are dropped many at a time. */
  #over = 0;
  /** After an error in the extended protocol, the server passes over everything up to a Sync. */
  #skipping = false;
  /** In COPY FROM STDIN it passes over Syncs until the copy ends. */
  #copying = false;
  /** Rows of the answer so far, for a portal that stops half-way. */
  #rows = 0;
  #waitingText = 0;
  /** A message was not to be understood. */
  #lost = false;
  #room: { readonly promise: Promise<void>; readonly open: () => void } | undefined;

  constructor(report: (statement: Statement) => void, now: () => number = () => performance.now()) {
    this.#report = report;
    this.#now = now;
    this.#client = new MessageStream(
      (type) => ("QPBECF".includes(type) ? maxText : 0),
      (type, beginning, length) => this.#asked(type, beginning, length),
    );
    this.#server = new MessageStream(
      (type) => ("CE".includes(type) ? maxText : 0),
      (type, beginning) => this.#answered(type, beginning),
    );
  }

  /** False when the stream is none of Postgres's, as with `server`. */
  client(bytes: Uint8Array): boolean {
    return this.#client.take(bytes) && !this.#lost;
  }

  server(bytes: Uint8Array): boolean {
    return this.#server.take(bytes);
  }

  /** Resolves when there is room for more from the client. */
  room(): Promise<void> | undefined {
    if (this.#waiting < maxWaiting && this.#waitingText < maxWaitingText) return undefined;
    if (this.#room === undefined) {
      let open = (): void => {};
      const promise = new Promise<void>((resolve) => {
        open = resolve;
      });
      this.#room = { promise, open };
    }
    return this.#room.promise;
  }

  get #waiting(): number {
    return this.#steps.length - this.#over;
  }

  get #head(): Step | undefined {
    return this.#steps[this.#over];
  }

  #pop(): void {
    this.#waitingText -= lengthOf(this.#head);
    this.#over++;
    this.#rows = 0;
    if (this.#over > 1000 && this.#over * 2 > this.#steps.length) {
      this.#steps = this.#steps.slice(this.#over);
      this.#over = 0;
    }
    if (this.#waiting >= maxWaiting / 2 || this.#waitingText >= maxWaitingText / 2) return;
    this.#room?.open();
    this.#room = undefined;
  }

  #push(asked: Asked): void {
    if (this.#skipping && asked.kind !== "sync") return;
    this.#skipping = false;
    const step: Step = { ...asked, started: this.#now(), rows: null, error: null };
    this.#waitingText += lengthOf(step);
    this.#steps.push(step);
  }

  #asked(type: string, bytes: Uint8Array, length: number): void {
    if (type === "c" || type === "f") this.#copying = false;
    // In a copy the server takes everything else for an error, or passes it over.
    if (this.#copying) return;
    const asked = askedBy(type, bytes, length);
    if (asked === undefined) this.#lost = true;
    else if (asked !== null) this.#push(asked);
  }

  /** The first that waits, if it is of one of these kinds: what the server says is no answer to anything else. */
  #take<K extends Step["kind"]>(...kinds: readonly K[]): Extract<Step, { kind: K }> | undefined {
    while (this.#head?.kind === "copy-end") this.#pop();
    const head = this.#head;
    return head !== undefined && kinds.some((kind) => kind === head.kind)
      ? (head as Extract<Step, { kind: K }>)
      : undefined;
  }

  #answered(type: string, bytes: Uint8Array): void {
    switch (type) {
      case "1":
        this.#parsed();
        break;
      case "2":
        this.#bound();
        break;
      case "3":
        this.#closed();
        break;
      case "n":
      // Of a query, the beginning of its rows.
      case "T":
        if (this.#take("describe") !== undefined) this.#pop();
        break;
      case "D":
        this.#rows++;
        break;
      case "C":
        this.#complete(rowsOf(textAt(bytes, 0)));
        break;
      case "I":
      case "V":
        this.#complete(null);
        break;
      case "s":
        this.#complete(this.#rows);
        break;
      case "G":
        this.#copyBegins();
        break;
      case "E":
        this.#failed(parseError(bytes).code);
        break;
      case "Z":
        this.#ready();
        break;
    }
  }

  #parsed(): void {
    const step = this.#take("parse");
    if (step === undefined) return;
    this.#pop();
    this.#remember("prepared statement", this.#prepared, step.name, step.what, step.started);
  }

  #bound(): void {
    const step = this.#take("bind");
    if (step === undefined) return;
    this.#pop();
    this.#remember("portal", this.#portals, step.portal, this.#textOf(step), step.started);
  }

  /** What can't be remembered, or no longer, is written now: when it runs, its name alone can be told. */
  #remember(what: string, names: Map<string, Text>, name: string, text: Text, started: number): void {
    names.delete(name);
    if (!isCut(name)) names.set(name, text);
    const [oldest] = names;
    const forgotten = isCut(name) ? ([name, text] as const) : names.size > maxNames ? oldest : undefined;
    if (forgotten === undefined) return;
    const [known, { text: sql, omitted }] = forgotten;
    names.delete(known);
    const durationMs = this.#now() - started;
    this.#report({
      text: `${unknown(what, known).text} ${sql}`,
      omitted,
      error: null,
      rows: null,
      durationMs,
    });
  }

  #closed(): void {
    const step = this.#take("close");
    if (step === undefined) return;
    this.#pop();
    (step.of === "S" ? this.#prepared : this.#portals).delete(step.name);
  }

  #textOf(step: Step): Text {
    switch (step.kind) {
      case "query":
      case "parse":
        return step.what;
      case "bind":
        return this.#prepared.get(step.name) ?? unknown("prepared statement", step.name);
      case "execute":
        return this.#portals.get(step.portal) ?? unknown("portal", step.portal);
      case "sync":
        return { text: "(end of the implicit transaction)", omitted: 0 };
      default:
        return { text: `(${step.kind})`, omitted: 0 };
    }
  }

  #complete(rows: number | null): void {
    const step = this.#take("query", "execute");
    if (step === undefined) return;
    this.#copying = false;
    this.#rows = 0;
    if (rows !== null) step.rows = (step.rows ?? 0) + rows;
    if (step.kind === "execute") {
      this.#pop();
      this.#say(step);
    } else if (this.#steps[this.#over + 1]?.kind === "copy-end") this.#steps.splice(this.#over + 1, 1);
  }

  /** What is on its way already, up to the copy's end, is the copy's: Syncs are passed over, the rest is an error. */
  #copyBegins(): void {
    const step = this.#take("query", "execute");
    if (step === undefined) return;
    const end = this.#steps.findIndex(({ kind }, i) => i > this.#over && kind === "copy-end");
    this.#steps = [step, ...(end < 0 ? [] : this.#steps.slice(end))];
    this.#over = 0;
    this.#waitingText = this.#steps.reduce((sum, one) => sum + lengthOf(one), 0);
    this.#copying = end < 0;
  }

  #failed(code: string): void {
    const step = this.#take("query", "parse", "bind", "execute", "close", "describe", "sync");
    if (step === undefined) return;
    this.#copying = false;
    step.error = code;
    // A query is over when the server is ready again; of the rest, all up to the Sync is passed over.
    if (step.kind === "query") return;
    this.#say(step);
    while (this.#head !== undefined && this.#head.kind !== "sync") this.#pop();
    this.#skipping = this.#head === undefined;
  }

  #ready(): void {
    for (let step = this.#head; step !== undefined; step = this.#head) {
      this.#pop();
      if (step.kind === "query" || step.kind === "execute") this.#say(step);
      if (step.kind === "query" || step.kind === "sync") return;
    }
  }

  /** What waits for an answer that does not come: the connection is over. */
  end(): void {
    for (const step of this.#steps.slice(this.#over)) {
      if (step.kind === "query" || step.kind === "execute")
        this.#say({ ...step, error: step.error ?? "08006" });
    }
    this.#steps = [];
    this.#over = 0;
    this.#waitingText = 0;
    this.#room?.open();
    this.#room = undefined;
  }

  #say(step: Step): void {
    const { error, rows, started } = step;
    const durationMs = this.#now() - started;
    this.#report({ ...this.#textOf(step), error, rows: error === null ? rows : null, durationMs });
  }
}

/** Carries bytes both ways, with a line in the audit log for each statement. */
export async function followStatements(session: Session, upstream: Connection, taps: Taps): Promise<void> {
  const log = new StatementLog((statement) => session.statement(statement));
  let lost: Refusal | undefined;
  const see = (take: (bytes: Uint8Array) => boolean, whose: string) => (bytes: Uint8Array) => {
    if (take(bytes)) return;
    // What can't be followed must not pass unseen.
    lost ??= new Refusal("protocol_error", `${whose} sent what can't be followed in the audit of statements`);
    throw lost;
  };
  const client = new ObservedConnection(
    session.client,
    see((bytes) => log.client(bytes), "the client"),
    () => log.room(),
  );
  const server = new ObservedConnection(
    upstream,
    see((bytes) => log.server(bytes), "the upstream"),
  );
  // Whoever waits for room then would wait for good: what makes room are answers, and there will be none.
  void session.client.closed.then(() => log.end());
  try {
    await session.carry(client, server, taps);
  } catch (error) {
    throw lost ?? error;
  } finally {
    log.end();
  }
}
