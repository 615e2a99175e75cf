import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { pageHeaders } from "../../routes/page-headers.ts";
import { bytes, left, said, time } from "../../routes/status/format.ts";
import { StatusPage } from "../../routes/status/page.tsx";
import { partsOf } from "../../routes/status/parts.tsx";
import { script } from "../../routes/status/script.ts";
import { style } from "../../routes/status/style.ts";
import type { Identity } from "../../src/identity/identity.ts";
import type { Snapshot } from "../../src/status/snapshot.ts";

const at = Date.parse("2026-11-28T12:00:00Z");

/** A snapshot with this wherever somebody else may have written something. */
function snapshotOf(text: string): Snapshot {
  const traffic = { bytesIn: 1, bytesOut: 2 };
  return {
    at,
    started: at,
    version: "1",
    runtime: "node 20",
    workers: null,
    unready: null,
    open: 1,
    routes: [
      {
        name: "r",
        scheme: "tcp",
        names: [text],
        port: null,
        upstream: text,
        health: { state: "down", detail: text },
        open: 1,
        served: 0,
        refused: 0,
        failed: 0,
        ...traffic,
      },
    ],
    newest: [{ id: "1", since: at, route: "r", source: text, sni: text, subject: text, ...traffic }],
    agents: [
      {
        name: text,
        services: [text],
        version: text,
        address: text,
        subject: text,
        since: new Date(at).toISOString(),
        streams: 0,
        ...traffic,
      },
    ],
    certificates: [{ use: "server", name: text, names: [text], notAfter: at }],
    refusals: [
      {
        outcome: "refused",
        reason: "unknown_name",
        time: new Date(at).toISOString(),
        count: 1,
        source: text,
        sni: text,
        route: "r",
        subject: text,
        detail: text,
      },
    ],
    throughput: [{ in: 1, out: 2 }],
  };
}

const identityOf = (subject: string): Identity => ({
  subject,
  commonName: null,
  organizations: [],
  organizationalUnits: [],
  dnsNames: [],
  emails: [],
  uris: [],
  ips: [],
  spiffe: null,
  groups: [],
  sources: null,
  routes: null,
  serial: "01",
  fingerprint: "",
  expires: new Date(at).toISOString(),
});

const pageOf = (text: string): string =>
  String(StatusPage({ snapshot: snapshotOf(text), identity: identityOf(text) }));

/** The tags in it, and nothing of what stands between them. */
const tags = (html: string): string[] => html.match(/<[^>]*>/g) ?? [];

describe("the status page", () => {
  it("has the same tags whatever peers say", () => {
    const plain = tags(pageOf("x"));
    const hostile = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."<>\"'&/=;`-! \u0000\r\n\u202e\ud800xonscriptaliex".split("")) }),
      fc.string({ unit: "binary" }),
      fc.constantFrom("</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--", "]]>"),
    );
    fc.assert(
      fc.property(hostile, (text) => {
        // Nothing at all is as good as any text.
        assert.deepEqual(tags(pageOf(text === "" ? " " : text)), plain);
      }),
    );
  });

  it("shows what would not show, or would change what is read beside it", () => {
    const page = pageOf("a\u202eb\u0000c\u2028d");
    assert.match(page, /a\\u\{202e\}b\\u\{0\}c\\u\{2028\}d/);
    for (const hidden of "\u202e\u0000\u2028") assert.ok(!page.includes(hidden));
  });

  it("has each part once, in the element whose inside it is", () => {
    const snapshot = snapshotOf("x");
    const page = pageOf("x");
    for (const { id, inside } of partsOf(snapshot)) {
      assert.equal(page.split(` id="${id}"`).length, 2, id);
      assert.ok(page.includes(` id="${id}">${inside}</`), id);
    }
  });

  it("says so where there is nothing", () => {
    const nothing = { routes: [], newest: [], agents: [], certificates: [], refusals: [], throughput: [] };
    const page = String(
      StatusPage({ snapshot: { ...snapshotOf("x"), ...nothing }, identity: identityOf("x") }),
    );
    for (const words of ["None is open.", "None is connected.", "None so far.", "Nothing is known yet"])
      assert.ok(page.includes(words), words);
  });

  it("is bounded, however many agents there are", () => {
    const [agent] = snapshotOf("x").agents;
    assert.ok(agent !== undefined);
    const many = partsOf({ ...snapshotOf("x"), agents: Array(5000).fill(agent) });
    const inside = many.find(({ id }) => id === "agents")?.inside ?? "";
    assert.equal(inside.split("<tr").length - 1, 201);
    assert.match(inside, /And 4,800 more\./);
    assert.match(many[0]?.inside ?? "", /<dd>5,000<\/dd>/);
  });
});

describe("the headers of our own pages", () => {
  it("let run and show what is on the page, by its hash, and nothing else", async () => {
    const policy = (await pageHeaders())["Content-Security-Policy"] ?? "";
    const page = pageOf("x");
    for (const [tag, directive, text] of [
      ["script", "script-src", script],
      ["style", "style-src", style],
    ] as const) {
      const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
      const hash = Buffer.from(digest).toString("base64");
      assert.ok(policy.split("; ").includes(`${directive} 'sha256-${hash}'`), policy);
      assert.ok(page.includes(`<${tag}>${text}</${tag}>`));
      assert.equal(page.split(`<${tag}`).length, 2);
    }
    assert.match(policy, /^default-src 'none'; /);
    assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/);
    assert.doesNotMatch(page, / (?:style|on[a-z]+|src)=/);
  });
});

describe("what is said for people", () => {
  it("bytes", () =>
    assert.deepEqual([0, 999, 1000, 9949, 9951, 999_499, 999_500, 5e9, 2e18].map(bytes), [
      "0 B",
      "999 B",
      "1.0 kB",
      "9.9 kB",
      "10 kB",
      "999 kB",
      "1.0 MB",
      "5.0 GB",
      "2000 PB",
    ]));

  it("times", () => {
    assert.equal(time(at + 3_661_000, at), "13:01:01");
    assert.equal(time(at - 86_400_000, at), "2026-11-27 12:00");
  });

  it("how long is left", () => {
    const day = 86_400_000;
    assert.deepEqual(
      [-1, 0, 60_000, 3_600_000, 47 * 3_600_000, 2 * day, 90 * day].map((ms) => left(at + ms, at)),
      ["expired", "expired", "less than an hour", "1 hour", "47 hours", "2 days", "90 days"],
    );
  });

  it("no more than anybody reads", () => assert.equal(said("x".repeat(5000)).length, 301));
});
