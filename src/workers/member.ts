import type { CancelKeyShares } from "../adapters/postgres/cancel-keys.ts";
import type { AdmissionControl, Caps } from "../core/admission.ts";
import { type RateLimit, tooMany } from "../enrolment/rate.ts";
import { type AssertionKeys, SharedKeys } from "../identity/assertion-key.ts";
import type { Snapshot } from "../observe/metrics.ts";
import type { StatusHere } from "../status/here.ts";
import type { AgentSource, SharedPlaces } from "../tunnel/agents.ts";
import type { Connection, Endpoint, Runtime, SharedAddress } from "../types.ts";
import { version } from "../version.ts";
import { Channel } from "./channel.ts";
import {
  type FromPrimary,
  type FromWorker,
  fromPrimary,
  type OpenHere,
  type Summons,
  type Welcome,
} from "./messages.ts";
import { type PeerParts, PeerServer, Peers } from "./peers.ts";
import { secretBytes } from "./secret.ts";
import { type PoolClient, SharedAdmission } from "./shared-admission.ts";

/** How often a worker says unasked what it counted: no more than that is lost when it is killed. */
const countEveryMs = 2000;

/** How a worker's time ends: its primary says so, or is gone. */
export type Ending = "drain" | "close" | "abandoned";

/** The question's number. */
type Asking = Extract<FromWorker, { ask: number }>;
type Question = Asking extends infer Q ? (Q extends Asking ? Omit<Q, "ask"> : never) : never;

/** One of several processes that are a router together, and what it shares with the others. */
export class Member {
  readonly summons: Summons;
  readonly #runtime: Runtime;
  readonly #channel: Channel<FromPrimary, FromWorker>;
  readonly #peers: Peers;
  readonly #answers = new Map<number, (answer: FromPrimary | null) => void>();
  #asks = 0;
  #recordingIsFull = false;
  #welcome: Welcome | undefined;
  #keys: SharedKeys | null = null;
  #tickets: Uint8Array = new Uint8Array(0);
  #newTickets = (): void => {};
  #signedOut: (id: string) => void = () => {};
  #snapshot: (() => Snapshot) | undefined;
  #openHere: (() => OpenHere) | undefined;
  #admission: SharedAdmission | undefined;
  #peerServer: PeerServer | undefined;
  #counting: ReturnType<typeof setInterval> | undefined;
  #greeted: (welcome: Welcome | null) => void = () => {};
  readonly #onEnd: ((how: Ending) => void)[] = [];

  private constructor(runtime: Runtime, summons: Summons, connection: Connection) {
    this.summons = summons;
    this.#runtime = runtime;
    this.#peers = new Peers(runtime, summons.secret, summons.number);
    this.#channel = new Channel(connection, fromPrimary, (message) => this.#heard(message));
    void this.#channel.closed.then(() => {
      clearInterval(this.#counting);
      this.#greeted(null);
      for (const answer of this.#answers.values()) answer(null);
      for (const end of this.#onEnd) end("abandoned");
    });
  }

  /** Rejects where there is no primary that knows the worker. */
  static async join(runtime: Runtime, summons: Summons): Promise<Member> {
    const member = new Member(runtime, summons, await runtime.dialLocal(summons.socket));
    const welcome = new Promise<Welcome | null>((resolve) => {
      member.#greeted = resolve;
    });
    const { secret, number } = summons;
    member.#channel.send({ type: "hello", secret, number, version, socket: member.#socket });
    if ((await welcome) === null) throw new Error("the primary process does not know this worker");
    return member;
  }

  get #socket(): string {
    const { folder, number } = this.summons;
    return `${folder}/worker-${number}-${this.#runtime.processId}.sock`;
  }

  /** What the other workers know of what they do; `null` for each that does not say so soon. */
  statuses(): Promise<readonly (StatusHere | null)[]> {
    return this.#peers.statuses(this.welcome.workers - 1);
  }

  get welcome(): Welcome {
    if (this.#welcome === undefined) throw new TypeError("not welcomed yet");
    return this.#welcome;
  }

  /** Where to listen: at what the workers share. */
  address(variable: string, asked: { readonly host: string; readonly port: number }): SharedAddress {
    const { port = null, fd = null } = this.welcome.listeners[variable] ?? {};
    return fd === null ? { host: asked.host, port: port ?? asked.port, shared: true } : { fd };
  }

  /** Caps that hold for all workers. `room`: what this process may have open. */
  admission(caps: Caps, room: number): AdmissionControl {
    this.#admission = new SharedAdmission(caps, this.welcome.workers, room, this.#pool);
    return this.#admission;
  }

  /** An agent's places among those of all workers. */
  readonly agentPlaces = (): SharedPlaces => {
    const holder = this.#admission?.holder() ?? 0;
    return {
      take: (key, cap) => this.#pool.take(holder, key, cap, false),
      leave: () => this.#pool.leave(holder),
    };
  };

  /** Counts requests that come to any worker. */
  readonly rate = (perMinute: number, what: string): RateLimit => ({
    take: async (key) => {
      const answer = await this.#ask({ type: "rate", key: `${what} ${key}`, perMinute });
      if (answer.type === "rated" && answer.after !== null) throw tooMany(perMinute, what, answer.after);
    },
  });

  /** `null` where the configuration has the keys. */
  get assertionKeys(): AssertionKeys | null {
    return this.#keys;
  }

  get ticketSecret(): Uint8Array {
    return this.#tickets;
  }

  /** Session tickets are sealed by another secret from now on. */
  set newTickets(callback: () => void) {
    this.#newTickets = callback;
  }

  get cancelShares(): CancelKeyShares {
    return {
      own: this.summons.number - 1,
      of: this.welcome.workers,
      cancel: (at, key, asking) => this.#peers.cancel(at, key, asking),
    };
  }

  /** The other workers, as those who know what routers share. */
  get neighbours(): Pick<Peers, "tellKnown"> {
    return this.#peers;
  }

  get agentSource(): AgentSource {
    return this.#peers;
  }

  /** Lets the other workers ask this one. */
  async serve(parts: Omit<PeerParts, "secret" | "runtime">, protect: (path: string) => void): Promise<void> {
    const runtime = this.#runtime;
    const server = new PeerServer({ ...parts, runtime, secret: this.summons.secret });
    this.#peerServer = server;
    await runtime.listen(
      { path: this.#socket },
      { connection: (connection) => void server.serve(connection), acceptFailed: () => {} },
    );
    protect(this.#socket);
  }

  /** Agents came, or went. */
  agentsChanged(names: readonly string[]): void {
    this.#channel.send({ type: "agents", names: [...names] });
  }

  /** A session of somebody who signed in with a browser is over: the other workers are told. */
  tellSignedOut(id: string): void {
    this.#channel.send({ type: "signed-out", id });
  }

  /** The same, from another worker. */
  set onSignedOut(callback: (id: string) => void) {
    this.#signedOut = callback;
  }

  /** Whether too many audit records wait at the primary. */
  get recordingIsFull(): boolean {
    return this.#recordingIsFull;
  }

  /** Resolves once no other worker uses an agent of this one. */
  async usedElsewhere(): Promise<void> {
    await this.#peerServer?.idle();
  }

  /** It listens. */
  ready(
    addresses: Readonly<Record<string, Endpoint>>,
    snapshot: () => Snapshot,
    openHere: () => OpenHere,
  ): void {
    this.#snapshot = snapshot;
    this.#openHere = openHere;
    this.#counting = setInterval(() => this.#count(), countEveryMs);
    this.#channel.send({ type: "ready", addresses });
  }

  /** Calls back with every word on the end. */
  onEnd(callback: (how: Ending) => void): void {
    this.#onEnd.push(callback);
  }

  /** Says for the last time what it counted, and needs the others no more. */
  leave(): void {
    this.#peers.close();
    clearInterval(this.#counting);
    this.#count();
  }

  readonly #pool: PoolClient = {
    take: async (holder, key, cap, evicts) => {
      const answer = await this.#ask({ type: "take", holder, key, cap, evicts });
      return answer.type === "taken" && answer.granted;
    },
    established: (holder) => this.#channel.send({ type: "established", holder }),
    leave: (holder) => this.#channel.send({ type: "leave", holder }),
  };

  async #ask(question: Question): Promise<FromPrimary> {
    const ask = ++this.#asks;
    const answer = await new Promise<FromPrimary | null>((resolve) => {
      this.#answers.set(ask, resolve);
      this.#channel.send({ ...question, ask });
    });
    this.#answers.delete(ask);
    if (answer === null) throw new Error("the primary process is gone");
    return answer;
  }

  #count(): void {
    const snapshot = this.#snapshot?.();
    if (snapshot === undefined) return;
    this.#channel.send({
      type: "counted",
      snapshot: Object.fromEntries(
        Object.entries(snapshot).map(([name, series]) => [
          name,
          series.map(({ labels, value, counts }) => ({
            labels: [...labels],
            value,
            ...(counts === undefined ? {} : { counts: [...counts] }),
          })),
        ]),
      ),
    });
  }

  #heard(message: FromPrimary): void {
    switch (message.type) {
      case "welcome":
        this.#welcome = message;
        this.#newSecrets(message.secrets);
        this.#greeted(message);
        break;
      case "taken":
      case "rated":
        this.#answers.get(message.ask)?.(message);
        break;
      case "evict":
        this.#admission?.evict(message.holder);
        break;
      case "count":
        this.#count();
        break;
      case "connections": {
        const { open = 0, connections = [] } = this.#openHere?.() ?? {};
        this.#channel.send({ type: "connections", open, connections: [...connections] });
        break;
      }
      case "secrets":
        this.#newSecrets(message.secrets);
        break;
      case "peers":
        this.#peers.update(message.peers);
        break;
      case "signed-out":
        this.#signedOut(message.id);
        break;
      case "recording":
        this.#recordingIsFull = message.full;
        break;
      case "drain":
      case "close":
        for (const end of this.#onEnd) end(message.type);
        break;
    }
  }

  #newSecrets({ tickets, assertions }: Welcome["secrets"]): void {
    const former = this.#tickets;
    this.#tickets = secretBytes(tickets);
    if (former.length > 0 && former.join() !== this.#tickets.join()) this.#newTickets();
    if (assertions === null) return;
    if (this.#keys === null) this.#keys = new SharedKeys(assertions);
    else this.#keys.replace(assertions);
  }
}
