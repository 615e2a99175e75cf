/** @jsxImportSource hono/jsx */
import type { LiveConnection } from "../../src/core/live.ts";
import type { ExpiringCertificate } from "../../src/status/certificates.ts";
import type { HealthState } from "../../src/status/health.ts";
import type { RecentRefusal } from "../../src/status/recent-refusals.ts";
import type { RouteStatus } from "../../src/status/snapshot.ts";
import type { AgentInfo } from "../../src/tunnel/agents.ts";
import { bytes, count, left, said, time } from "./format.ts";
import type { Column } from "./table.tsx";

/** A moment, for people and for programs. */
function Time({ at, now }: { readonly at: number; readonly now: number }) {
  return <time datetime={new Date(at).toISOString()}>{time(at, now)}</time>;
}

const nothing = "–";

const words: Readonly<Record<HealthState, readonly [sign: string, word: string]>> = {
  up: ["●", "up"],
  degraded: ["▲", "degraded"],
  down: ["■", "down"],
  unknown: ["○", "unknown"],
};

/** A state by its shape and in words: colour alone says nothing to many. */
function Badge({ state, children }: { readonly state: HealthState; readonly children: string }) {
  return (
    <span class={`badge ${state}`}>
      <span aria-hidden="true">{words[state][0]}</span> {children}
    </span>
  );
}

export const routeColumns: readonly Column<RouteStatus>[] = [
  { label: "Route", kind: "head", cell: ({ name }) => name },
  { label: "Scheme", kind: "short", cell: ({ scheme }) => scheme },
  {
    label: "Names",
    cell: ({ names, port }) => [...names, ...(port === null ? [] : [`port ${port}`])].map(said).join(", "),
  },
  {
    label: "Upstream",
    cell: ({ upstream }) => (upstream === "" ? "the router itself" : said(upstream.replaceAll(",", ", "))),
  },
  {
    label: "Health",
    kind: "long",
    cell: ({ health }) =>
      health === null ? (
        nothing
      ) : (
        <>
          <Badge state={health.state}>{words[health.state][1]}</Badge>
          <span class="detail">{said(health.detail)}</span>
        </>
      ),
  },
  { label: "Open", kind: "number", cell: ({ open }) => count(open) },
  { label: "Served", kind: "number", cell: ({ served }) => count(served) },
  { label: "Refused", kind: "number", cell: ({ refused }) => count(refused) },
  { label: "Failed", kind: "number", cell: ({ failed }) => count(failed) },
  { label: "In", kind: "number", cell: ({ bytesIn }) => bytes(bytesIn) },
  { label: "Out", kind: "number", cell: ({ bytesOut }) => bytes(bytesOut) },
];

export const connectionColumns = (now: number): readonly Column<LiveConnection>[] => [
  { label: "Since", kind: "short", cell: ({ since }) => <Time at={since} now={now} /> },
  { label: "Route", kind: "head", cell: ({ route }) => route ?? "none yet" },
  { label: "Identity", cell: ({ subject }) => (subject === null ? nothing : said(subject)) },
  { label: "Source", kind: "short", cell: ({ source }) => said(source) },
  { label: "Name asked for", cell: ({ sni }) => (sni === null ? nothing : said(sni)) },
  { label: "In", kind: "number", cell: ({ bytesIn }) => bytes(bytesIn) },
  { label: "Out", kind: "number", cell: ({ bytesOut }) => bytes(bytesOut) },
];

export const agentColumns = (now: number): readonly Column<AgentInfo>[] => [
  { label: "Agent", kind: "head", cell: ({ name }) => said(name) },
  { label: "Services", cell: ({ services }) => said(services.join(", ")) },
  { label: "Version", kind: "short", cell: ({ version }) => said(version) },
  {
    label: "From",
    kind: "short",
    cell: ({ address, router }) => said(router === undefined ? address : `${address} at ${router}`),
  },
  { label: "Certificate", cell: ({ subject }) => said(subject) },
  { label: "Since", kind: "short", cell: ({ since }) => <Time at={Date.parse(since)} now={now} /> },
  { label: "Streams", kind: "number", cell: ({ streams }) => count(streams) },
  { label: "In", kind: "number", cell: ({ bytesIn }) => bytes(bytesIn) },
  { label: "Out", kind: "number", cell: ({ bytesOut }) => bytes(bytesOut) },
];

/** From then on somebody should look after it. */
const soonMs = 14 * 86_400_000;

function expiryState(notAfter: number, now: number): HealthState {
  if (notAfter <= now) return "down";
  return notAfter - now < soonMs ? "degraded" : "up";
}

export const certificateColumns = (now: number): readonly Column<ExpiringCertificate>[] => [
  { label: "Certificate", kind: "head", cell: ({ name }) => said(name) },
  {
    label: "Use",
    cell: ({ use }) => (use === "server" ? "shown to clients" : "trusted for clients’ certificates"),
  },
  { label: "Names", cell: ({ names }) => (names.length === 0 ? nothing : said(names.join(", "))) },
  {
    label: "Left",
    kind: "short",
    cell: ({ notAfter }) => <Badge state={expiryState(notAfter, now)}>{left(notAfter, now)}</Badge>,
  },
  { label: "Expires", kind: "short", cell: ({ notAfter }) => <Time at={notAfter} now={now} /> },
];

export const refusalColumns = (now: number): readonly Column<RecentRefusal>[] => [
  { label: "Last", kind: "short", cell: ({ time: last }) => <Time at={Date.parse(last)} now={now} /> },
  { label: "Reason", kind: "head", cell: ({ reason }) => <code class="short">{reason}</code> },
  { label: "Times", kind: "number", cell: (refusal) => count(refusal.count) },
  { label: "Source", kind: "short", cell: ({ source }) => said(source) },
  { label: "Name asked for", cell: ({ sni }) => (sni === null ? nothing : said(sni)) },
  { label: "Route", kind: "short", cell: ({ route }) => route ?? nothing },
  { label: "Identity", cell: ({ subject }) => (subject === null ? nothing : said(subject)) },
  { label: "Detail", kind: "long", cell: ({ detail }) => (detail === null ? nothing : said(detail)) },
];
