import { type App, appAdapter } from "./adapters/app.ts";
import { refuseHttp } from "./adapters/http/index.ts";
import { peerAdapter } from "./adapters/peer/index.ts";
import { CancelKeys } from "./adapters/postgres/cancel-keys.ts";
import { createAdapters } from "./adapters/registry.ts";
import { tunnelAdapter } from "./adapters/tunnel/index.ts";
import { openAt, serveAdmin } from "./admin-listener.ts";
import type { Recording } from "./audit/audit-log.ts";
import { whereRecorded, whereRoom } from "./audit/guarded-admission.ts";
import { openSignIn } from "./browser-sign-in.ts";
import { openCertificateOrders } from "./certificate-orders.ts";
import type { Config } from "./config/load.ts";
import type { Files } from "./config/pem.ts";
import { type Configured, configure } from "./configured.ts";
import { roomFor } from "./connection-room.ts";
import { Admission } from "./core/admission.ts";
import { Assertions } from "./core/assertions.ts";
import type { OpenNotes } from "./core/open-notes.ts";
import type { RouterRecord } from "./core/record.ts";
import { Router } from "./core/router.ts";
import type { RouterParts } from "./core/router-parts.ts";
import type { Session } from "./core/session.ts";
import { Rate } from "./enrolment/rate.ts";
import type { CertificateRecord } from "./enrolment/record.ts";
import { Front, type Place, placesOf } from "./front.ts";
import { Limits } from "./limits/limits.ts";
import { watchMemory } from "./memory-bound.ts";
import type { Log } from "./observe/log.ts";
import { Metrics } from "./observe/metrics.ts";
import type { ConnectionTraces } from "./observe/traces.ts";
import { ownPages } from "./own-pages.ts";
import { OtherRouters } from "./peer/routers.ts";
import { allWhereabouts, listedRouters } from "./peer/whereabouts.ts";
import { attemptReload } from "./reload/attempt.ts";
import { RevocationWatch } from "./revocation/watch.ts";
import { processorMs } from "./runtime/processor.ts";
import { ownSocket } from "./runtime/unix-socket.ts";
import type { LoginRecord } from "./sign-in/record.ts";
import { openStatusPage } from "./status-page.ts";
import { Agents, type ServiceTarget } from "./tunnel/agents.ts";
import type { Endpoint, Runtime } from "./types.ts";
import { HttpUpstreams } from "./upstream/http-upstreams.ts";
import { TokenFiles } from "./upstream/token-files.ts";
import { version } from "./version.ts";
import { Tunnels } from "./websocket/tunnels.ts";
import type { Member } from "./workers/member.ts";

/** How often open connections are held against the clock and what is revoked. */
const sweepEveryMs = 1000;

const adminVariable = "SALLYPORT_ADMIN_LISTEN";

/** Of one name: more share no load, but hide a mistake. */
const agentsPerName = 64;

/** For connections that were ended all at once to be recorded. */
const lastRecordsMs = 1000;

/** Whom a router tells what it does beside the audit log. */
export interface Watched {
  /** How it stands with what the audit log took; `null` where nobody can say. */
  readonly recording: Recording | null;
  readonly traces: ConnectionTraces | null;
  readonly notes: OpenNotes | null;
}

/** A router that listens. */
export interface RunningServer {
  readonly address: Endpoint;
  readonly admin: Endpoint | null;
  readonly connect: Endpoint | null;
  /** Listeners of one protocol each, by adapter. */
  readonly separate: Readonly<Record<string, Endpoint>>;
  /** Every listener but the admin's, by the variable that asks for it. */
  readonly listeners: Readonly<Record<string, Endpoint>>;
  readonly router: Router;
  /** Resolves once it is ready for the first time: at once, but where routers share what was not read yet. */
  readonly ready: Promise<void>;
  /** With what is asked for rather than counted. */
  readonly metrics: () => Metrics;
  /** The agents that publish services through it. */
  readonly agents: Agents;
  /**
   * Takes up what `read` gives for connections that come afterwards, all of it or nothing. Never rejects: how it went is
   * in the log and the metrics. One at a time.
   */
  reload(why: string, read: () => Config): Promise<void>;
  /** Unready, then no new connections, then none at all: as long as the configuration allows. */
  drain(): Promise<void>;
  /** At once. */
  close(): Promise<void>;
}

/**
 * Puts the parts together and listens. Throws a `ConfigError` where an address can't be had.
 *
 * @param member what is shared with the other processes of the router; `null` where this one is all of it
 * @param watched who else is told, and asked
 * @param sockets those that were opened for this process, by the variable whose listener each is
 */
export async function startServer(
  runtime: Runtime,
  config: Config,
  log: Log,
  audit: (record: RouterRecord | CertificateRecord | LoginRecord, written?: () => void) => void,
  files: Files,
  member: Member | null = null,
  { recording, traces, notes }: Watched = { recording: null, traces: null, notes: null },
  sockets: ReadonlyMap<string, number> = new Map(),
): Promise<RunningServer> {
  const processes = member?.welcome.workers ?? 1;
  const metrics = new Metrics();
  metrics.build.set(1, version, `${runtime.name} ${runtime.version}`);
  const shared =
    config.state === null
      ? null
      : await (await import("./shared.ts")).openShared(config.state, config.peerAddress, log, metrics);
  const revocations = new RevocationWatch(config.revocation, files, log, metrics, shared?.revocations);
  const ownRate = member?.rate ?? ((perMinute: number, what: string) => new Rate(perMinute, what));
  const lasting = {
    runtime,
    revocations,
    files,
    audit,
    log,
    rate: shared?.rate(ownRate) ?? ownRate,
    sharedTokens: shared?.tokens ?? null,
    ticketSecret: () => shared?.tickets.secret ?? member?.ticketSecret ?? null,
    assertionKeys: member?.assertionKeys ?? null,
  };
  let active = await configure(lasting, config, null);
  if (member !== null) member.newTickets = () => active.contexts.renew();
  shared?.tickets.onChange(() => active.contexts.renew());
  const agents: Agents = new Agents(
    { agents: config.tunnel.maxAgents, perName: agentsPerName },
    (count) => {
      metrics.tunnelAgents.set(count);
      member?.agentsChanged(agents.names);
      shared?.whereabouts.announce(agents.names);
    },
    member?.agentPlaces ?? null,
  );
  metrics.tunnelAgents.set(0);
  if (member !== null) agents.addSource(member.agentSource, "here");
  const others = new OtherRouters({
    runtime,
    verifierFor: (route) => active.verifiers.of(route),
    whereabouts: allWhereabouts([
      listedRouters(config.peers),
      ...(shared === null ? [] : [shared.whereabouts]),
    ]),
    route: () => active.config.table.routes.find(({ adapter }) => adapter === "peer") ?? null,
    log,
  });
  agents.addSource(others, "elsewhere");
  const cancelKeys = new CancelKeys(member?.cancelShares ?? null, shared?.cancel);
  shared?.answerCancels((key, asking) => cancelKeys.cancelOwn(key, asking));
  const asked = { agents, cancelKeys, known: () => shared?.known() ?? null, status: () => page.here() };
  await member?.serve(asked, ownSocket);
  const httpUpstreams = new HttpUpstreams(processes);
  let draining = false;
  const unready = (): string | null => (draining ? "draining" : (shared?.unready() ?? null));
  const page = openStatusPage({
    config: () => active.config,
    runtime: `${runtime.name} ${runtime.version}`,
    agents,
    httpUpstreams,
    router: () => router,
    unready,
    others: async () => (await member?.statuses()) ?? [],
    log,
  });
  const signIn = await openSignIn(config, () => active.assertionKeys, member, shared, {
    denied: () => revocations.denied,
    audit,
    rate: lasting.rate,
  });
  const assertions = new Assertions(active.assertionKeys, issuerOf(config));
  const pagesOf = (configured: Configured): App =>
    ownPages(configured, { assertions, agents, status: page, tunnels: () => tunnels });
  let pages = pagesOf(active);
  const room = roomFor(config.caps.connections, processes, log);
  const ownAdmission =
    member?.admission(config.caps, room) ?? new Admission({ ...config.caps, connections: room });
  const memory = watchMemory(config.limits, processes, () => router.open, log);
  const admission = whereRecorded(
    whereRoom(shared?.admission(ownAdmission, config.caps, config.limits) ?? ownAdmission, memory),
    () =>
      config.audit.whenFull === "refuse" && (recording?.full === true || member?.recordingIsFull === true),
  );
  const tokens = new TokenFiles(files, log);
  const tunnelled = tunnelAdapter({
    agents,
    rules: config.tunnel.rules,
    maxStreams: config.tunnel.maxStreams,
    changed: (what, { name, services, address, subject }) =>
      log.info(`agent ${what}`, { agent: name, services: services.join(" "), address, subject }),
  });
  const peers = peerAdapter(agents);
  const fixed = {
    runtime,
    adapters: new Map(
      [
        ...createAdapters({ md5Hex: (data) => runtime.md5Hex(data), cancelKeys }),
        // Whoever is connected sees the pages as they are now.
        appAdapter((request, caller, upgrade) => pages(request, caller, upgrade), refuseHttp),
        tunnelled,
        peers,
      ].map((adapter) => [adapter.name, adapter]),
    ),
    admission,
    limits: new Limits(config.limits, processes, memory, processorMs),
    audit: (record: RouterRecord, written?: () => void) => {
      audit(record, written);
      if (record.event === "statement" || record.event === "request") traces?.recorded(record);
      if (record.event === "connection") page.recorded(record);
    },
    mint: (user: string) => {
      // The configuration has no route that asks for one without an authority.
      if (active.authority === null) throw new TypeError("no authority makes certificates here");
      return active.authority.mint(user);
    },
    tokenIn: (path: string) => tokens.token(path, performance.now()),
    assertions,
    gateOf: (session: Session) => signIn?.gate(session) ?? null,
    openService: (target: ServiceTarget) => agents.open(target),
    agentCount: () => agents.count + peers.count,
    dialled: page.dialled,
    usedElsewhere: async () => {
      // What is kept for later has no user any more; other processes wait for it to end.
      httpUpstreams.close();
      await Promise.all([member?.usedElsewhere(), peers.unused()]);
    },
    metrics,
    traces,
    notes,
    log,
    httpUpstreams,
  };
  const ordered = openCertificateOrders(runtime, () => active.config, files, log, metrics, shared);
  const partsOf = ({ config, contexts, verifiers }: Configured): RouterParts => ({
    ...fixed,
    challengeFor: (name) => ordered.challenges.contextFor(name),
    table: config.table,
    contexts,
    verifierFor: (route) => verifiers.of(route),
    proxyProtocol: config.proxyProtocol,
    forwardedFrom: config.forwardedFrom,
    timeouts: config.timeouts,
  });
  /** What a configuration needs that is about to be taken up is in nobody's reach yet. */
  let takingUp = false;
  const letGo = (): void => {
    if (takingUp) return;
    httpUpstreams.keepOnly((route) => router.isInUse(route));
    revocations.keepOnly(router.routesInReach().map(({ crl }) => crl));
  };
  const router = new Router(partsOf(active), letGo);
  metrics.lastReload.set(Math.floor(Date.now() / 1000));
  // A page that is open would keep its connection, and the router waiting.
  router.draining.addEventListener("abort", () => page.close(), { once: true });
  const tunnels = new Tunnels(
    (connection, arrival) => router.accept(connection, arrival),
    config.forwardedFrom,
  );
  const sweep = setInterval(() => {
    router.sweep(Date.now());
    signIn?.sweep(Date.now());
    others.sweep(Date.now());
  }, sweepEveryMs);
  page.start();
  const stopWatching = (): void => {
    clearInterval(sweep);
    memory?.stop();
    void ordered.orders.stop();
    page.close();
    revocations.stop();
  };

  const place: Place =
    member === null
      ? placesOf(config.reusePort, sockets)
      : (variable, asked) => member.address(variable, asked);
  const front = new Front({ runtime, router, admission, tunnels, place, unready, log });
  const counted = (): Metrics => {
    router.countTraffic();
    metrics.certificateExpiry.clear();
    const { certificates, peerCertificate } = active.config;
    for (const { name, notAfter } of [...certificates.all, ...(peerCertificate ? [peerCertificate] : [])]) {
      metrics.certificateExpiry.set(Math.round((notAfter.getTime() - Date.now()) / 1000), name);
    }
    if (recording !== null) metrics.recording(recording);
    return metrics;
  };
  const adminDone = new AbortController();
  const details = (verbose: boolean): readonly string[] => [
    ...(shared?.details(verbose) ?? []),
    ...ordered.notes(),
  ];
  const challenge = (token: string) => ordered.challenges.answerTo(token);
  const connections = config.adminConnections ? () => openAt(router) : null;
  const adminParts = { unready, details, challenge, metrics: () => counted().text(), connections };
  let address: Endpoint;
  let admin: Endpoint | null = null;
  try {
    await shared?.start(member?.neighbours ?? null);
    address = await front.open(config);
    if (config.admin !== null && member === null)
      admin = await front.listen(
        adminVariable,
        config.admin,
        serveAdmin(runtime, adminParts, adminDone.signal),
      );
  } catch (error) {
    stopWatching();
    await Promise.all([front.close(), shared?.close()]);
    throw error;
  }
  ordered.orders.start();
  // Whoever closes them does not make them forget where they were.
  const listeners = front.addresses;

  const close = async (): Promise<void> => {
    stopWatching();
    router.abortAll();
    httpUpstreams.close();
    others.close();
    adminDone.abort();
    await front.close();
    // What was cut has its records still to write; a dial under way may take longer than anybody wants to wait.
    let late: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      late = setTimeout(resolve, lastRecordsMs);
    });
    await Promise.race([router.drain(), patience]);
    clearTimeout(late);
    await shared?.close();
  };
  const { SALLYPORT_CONNECT_LISTEN: connect } = listeners;
  return {
    address,
    admin,
    connect: connect ?? null,
    separate: Object.fromEntries(
      config.separate.flatMap(({ adapter, variable }) => {
        const own = listeners[variable];
        return own === undefined ? [] : [[adapter, own]];
      }),
    ),
    listeners,
    router,
    ready: shared?.read ?? Promise.resolve(),
    metrics: counted,
    agents,
    close,
    reload: (why, read) =>
      attemptReload(why, {
        log,
        metrics,
        before: active.config,
        read,
        apply: async (next) => {
          takingUp = true;
          const [made] = await Promise.allSettled([configure(lasting, next, active)]);
          takingUp = false;
          if (made.status === "rejected") {
            letGo();
            throw made.reason;
          }
          active = made.value;
          pages = pagesOf(active);
          signIn?.forget();
          assertions.replace(active.assertionKeys, issuerOf(next));
          router.replace(partsOf(active));
        },
      }),
    drain: async () => {
      draining = true;
      // An authority would find nobody to validate.
      void ordered.orders.stop();
      // Who has taken over answers there too, and is asked no more often than this one as long as both listen.
      if (config.reusePort || sockets.has(adminVariable))
        void front.close((variable) => variable === adminVariable);
      const { drainMs, drainDelayMs } = config.timeouts;
      // Whoever is still there then is cut, one after the other too.
      const lastMs = drainMs / 10;
      const forced = setTimeout(() => router.abortAll(lastMs), drainMs - lastMs);
      log.info("draining: unready, still accepting", { delay_ms: drainDelayMs, connections: router.open });
      await new Promise((resolve) => setTimeout(resolve, Math.min(drainDelayMs, drainMs)));
      // Closing waits for connections on some runtimes; those are drained below.
      void front.close((variable) => variable !== adminVariable);
      log.info("no longer accepting", { connections: router.open });
      await router.drain(Math.max(0, drainMs - drainDelayMs) / 2);
      clearTimeout(forced);
      await close();
    },
  };
}

const issuerOf = ({ host }: Config): string => `https://${host}`;
