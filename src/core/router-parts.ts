import type { Refusal } from "../errors.ts";
import type { ClientVerifier } from "../identity/verifier.ts";
import type { Limits } from "../limits/limits.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ConnectionTraces } from "../observe/traces.ts";
import type { ServiceTarget } from "../tunnel/agents.ts";
import type { Connection, Runtime, TlsContext } from "../types.ts";
import type { HttpUpstreams } from "../upstream/http-upstreams.ts";
import type { Cidr } from "../wire/ip.ts";
import type { AdmissionControl } from "./admission.ts";
import type { Assertions } from "./assertions.ts";
import type { CertificateAndKey, TlsContexts } from "./contexts.ts";
import type { Gate } from "./gate.ts";
import type { RouteTable } from "./match.ts";
import type { OpenNotes } from "./open-notes.ts";
import type { RouterRecord } from "./record.ts";
import type { Route } from "./route.ts";
import type { Adapter, Session } from "./session.ts";
import type { ProxyProtocol } from "./source.ts";

/** Everything a connection meets on its way; made by the composition root. */
export interface RouterParts {
  readonly runtime: Runtime;
  readonly table: RouteTable;
  readonly adapters: ReadonlyMap<string, Adapter>;
  readonly contexts: TlsContexts;
  /** What shows an authority that a name is ours; `null` where none has been asked to look. */
  readonly challengeFor: (name: string) => Promise<TlsContext | null>;
  readonly verifierFor: (route: Route) => ClientVerifier;
  readonly admission: AdmissionControl;
  readonly limits: Limits;
  readonly proxyProtocol: ProxyProtocol;
  /** Networks whose word on who their clients are is taken. */
  readonly forwardedFrom: readonly Cidr[];
  readonly timeouts: {
    readonly handshakeMs: number;
    readonly connectMs: number;
    readonly halfCloseMs: number;
  };
  /** @param written called once it is */
  readonly audit: (record: RouterRecord, written?: () => void) => void;
  /** `null`: nobody would look at them. */
  readonly notes: OpenNotes | null;
  /** `null`: nobody follows connections. */
  readonly traces: ConnectionTraces | null;
  /** Makes a client certificate for a user of an upstream. Throws a `Refusal`. */
  readonly mint: (user: string) => Promise<CertificateAndKey>;
  readonly assertions: Assertions;
  /** The token in a file. Throws a `Refusal`. */
  readonly tokenIn: (path: string) => string;
  /** What judges the requests of a connection; `null` where the certificate alone says who somebody is. */
  readonly gateOf: (session: Session) => Gate | null;
  /** A connection to a service that an agent publishes. Rejects with a `Refusal`. */
  readonly openService: (target: ServiceTarget) => Promise<Connection>;
  /** Connections of agents that are open, and those by which other routers use them. */
  readonly agentCount: () => number;
  /** Resolves once no other process or router has a user for an agent of this one, and at once where there is none. */
  readonly usedElsewhere: () => Promise<void>;
  /** An upstream was dialled: how long it took, and why it did not come about, if it did not. */
  readonly dialled: (route: Route, server: string, ms: number, failure: Refusal | null) => void;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly httpUpstreams: HttpUpstreams;
}
