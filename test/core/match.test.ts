import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseNamePattern } from "../../src/config/names.ts";
import { type Match, type Question, RouteTable } from "../../src/core/match.ts";
import { fillIn, type NamePattern, type Route } from "../../src/core/route.ts";
import { parseCidr, parseIp } from "../../src/wire/ip.ts";
import { share } from "../support/fuzz.ts";

interface Sketch {
  readonly sni?: readonly string[];
  /** `null` is any: what a `tls` route without `alpn` has. */
  readonly alpn?: readonly string[] | null;
  readonly http?: boolean;
  readonly source?: readonly string[];
  readonly port?: number;
}

function pattern(text: string): NamePattern {
  const found = parseNamePattern(text);
  if ("problem" in found) throw new Error(found.problem);
  return found;
}

function route(name: string, sketch: Sketch): Route {
  const alpn = sketch.alpn === undefined ? ["sallyport-tcp"] : sketch.alpn;
  return {
    name,
    variable: `SALLYPORT_ROUTE_${name.toUpperCase()}`,
    scheme: "tcp",
    adapter: "tcp",
    login: null,
    terminates: alpn !== null,
    names: (sketch.sni ?? ["a.example.com"]).map(pattern),
    alpn,
    takesNoAlpn: sketch.http ?? false,
    sources:
      sketch.source?.map((text) => {
        const cidr = parseCidr(text);
        if (cidr === null) throw new Error(text);
        return cidr;
      }) ?? null,
    client: "none",
    anchors: [],
    allow: [],
    port: sketch.port ?? null,
    upstream: null,
    database: null,
    kubernetes: null,
    http: null,
    sessionTimeoutMs: null,
    idleTimeoutMs: 1000,
    maxConnections: null,
    certificate: null,
    crl: [],
    expiryGraceMs: 0,
  };
}

const http = { alpn: ["h2", "http/1.1"], http: true } as const;

const question = (
  serverName: string | null,
  alpn: readonly string[] = [],
  source = "192.0.2.1",
  own: Route | null = null,
): Question => ({ serverName, alpn, source: parseIp(source) ?? [], own });

/** `route` or `route/alpn`, else the reason. */
function short(match: Match): string {
  if (!match.ok) return match.reason;
  return match.alpn === null ? match.route.name : `${match.route.name}/${match.alpn}`;
}

const ask = (table: RouteTable, ...rest: Parameters<typeof question>): string =>
  short(table.match(question(...rest)));

describe("names", () => {
  const table = new RouteTable([
    route("exact", { sni: ["a.example.com"] }),
    route("wild", { sni: ["*.example.com"] }),
    route("pod", { sni: ["{pod}.{ns}.apps.example.com"] }),
    route("apps", { sni: ["{app}.apps.example.com", "apps.example.org"] }),
    route("fixed", { sni: ["*.prod.apps.example.com"] }),
  ]);

  it("an exact name comes before a wildcard", () => assert.equal(ask(table, "a.example.com"), "exact"));
  it("a wildcard takes every other label", () => assert.equal(ask(table, "b.example.com"), "wild"));
  it("a wildcard is one label, not none", () => assert.equal(ask(table, "example.com"), "unknown_name"));
  it("a wildcard is one label, not two", () => assert.equal(ask(table, "a.b.example.com"), "unknown_name"));
  it("a name of fewer variable labels comes first", () => {
    assert.equal(ask(table, "x.prod.apps.example.com"), "fixed");
    assert.equal(ask(table, "x.test.apps.example.com"), "pod");
    assert.equal(ask(table, "x.apps.example.com"), "apps");
  });
  it("one route serves several names", () => assert.equal(ask(table, "apps.example.org"), "apps"));
  it("case and the final dot make no difference", () => {
    assert.equal(ask(table, "A.EXAMPLE.com."), "exact");
    assert.equal(ask(table, "B.Example.Com."), "wild");
  });

  for (const name of [
    null,
    "",
    ".",
    "b..example.com",
    "*.example.com",
    "b\u0000.example.com",
    "b.example.com\u0000",
    "b.example.com..",
    ".example.com",
    "-.example.com",
    "b .example.com",
    "\u212a.example.com",
    "192.0.2.1",
    "[2001:db8::1]",
    "2001:db8::1",
    "other.example.net",
    "__proto__",
    "constructor",
    `${"x.".repeat(120)}example.com`,
  ]) {
    it(`${JSON.stringify(name)?.slice(0, 40)} is unknown`, () =>
      assert.equal(ask(table, name), "unknown_name"));
  }

  it("the refusal names what was asked for", () => {
    const match = table.match(question("other.example.net"));
    assert.ok(!match.ok && match.detail.includes("other.example.net"));
  });

  it("a literal label that looks like a property of objects is a label like others", () => {
    const odd = new RouteTable([route("odd", { sni: ["__proto__.example.com", "{constructor}.x.example"] })]);
    assert.equal(ask(odd, "__proto__.example.com"), "odd");
    const match = odd.match(question("v.x.example"));
    assert.deepEqual(match.ok && { ...match.captures }, { constructor: "v" });
  });
});

describe("captures", () => {
  it("are the labels in front, by name", () => {
    const table = new RouteTable([route("pod", { sni: ["{pod}.*.{ns}.example.com"] })]);
    const match = table.match(question("Web-1.x.Prod.example.com"));
    assert.ok(match.ok);
    assert.deepEqual({ ...match.captures }, { pod: "web-1", ns: "prod" });
    assert.equal(fillIn("{pod}.{ns}.svc.internal", match.captures), "web-1.prod.svc.internal");
  });

  it("can't bring a dot, a brace or anything else that is no label into the upstream", () => {
    const table = new RouteTable([route("node", { sni: ["{node}.ssh.example.com"] })]);
    for (const label of ["a.b", "{node}", "a/b", "a:1", "a%2eb", "a@b", "..", "a\nb", "a b"]) {
      assert.equal(ask(table, `${label}.ssh.example.com`), "unknown_name", label);
    }
  });

  it("of an exact name are none", () => {
    const match = new RouteTable([route("a", {})]).match(question("a.example.com"));
    assert.deepEqual(match.ok && { ...match.captures }, {});
  });
});

describe("protocols", () => {
  const table = new RouteTable([
    route("web", http),
    route("tcp", {}),
    route("pg", { alpn: ["postgresql"] }),
    route("any", { alpn: null }),
    route("one", { sni: ["one.example.com"] }),
    route("two-a", { sni: ["two.example.com"], alpn: ["x"] }),
    route("two-b", { sni: ["two.example.com"], alpn: ["y"] }),
    route("wide", { sni: ["*.example.com"], alpn: ["z"] }),
    route("pass", { sni: ["pass.example.com"], alpn: null }),
  ]);

  it("are taken in the client's order, not ours", () => {
    assert.equal(ask(table, "a.example.com", ["sallyport-tcp", "h2"]), "tcp/sallyport-tcp");
    assert.equal(ask(table, "a.example.com", ["h2", "sallyport-tcp"]), "web/h2");
    assert.equal(ask(table, "a.example.com", ["http/1.1", "h2"]), "web/http/1.1");
    assert.equal(ask(table, "a.example.com", ["postgresql", "h2"]), "pg/postgresql");
  });
  it("that nobody serves are passed over", () =>
    assert.equal(ask(table, "a.example.com", ["zz", "\x0a\x0a", "postgresql"]), "pg/postgresql"));
  it("are compared byte by byte", () =>
    assert.equal(ask(table, "one.example.com", ["Sallyport-tcp"]), "no_protocol"));
  it("that no other route of the name serves go to a route of any protocol, which agrees on none", () =>
    assert.equal(ask(table, "a.example.com", ["imap", "\xfa\xfa"]), "any"));
  it("that none of the name's routes serves are refused", () =>
    assert.equal(ask(table, "one.example.com", ["imap"]), "no_protocol"));
  it("do not fall through to a wider name that would serve them", () => {
    assert.equal(ask(table, "two.example.com", ["z"]), "no_protocol");
    assert.equal(ask(table, "three.example.com", ["z"]), "wide/z");
  });
  it("GREASE alone is no protocol that a route serves", () =>
    assert.equal(ask(table, "one.example.com", ["\x0a\x0a"]), "no_protocol"));

  it("without ALPN the http route of the name is meant", () =>
    assert.equal(ask(table, "a.example.com"), "web"));
  it("without ALPN the only route of the name is meant", () =>
    assert.equal(ask(table, "one.example.com"), "one"));
  it("without ALPN the only route is meant even under two of its names", () => {
    const both = new RouteTable([route("both", { sni: ["a.example.com", "*.example.com"] })]);
    assert.equal(ask(both, "a.example.com"), "both");
    assert.equal(ask(both, "b.example.com"), "both");
  });
  it("without ALPN and among several others, a route of any protocol takes it", () => {
    const mixed = new RouteTable([route("tcp", {}), route("any", { alpn: null })]);
    assert.equal(ask(mixed, "a.example.com"), "any");
  });
  it("without ALPN and among several others, it is refused and told why", () => {
    const match = table.match(question("two.example.com"));
    assert.ok(!match.ok && match.reason === "no_protocol");
    assert.match(match.detail, /no ALPN.*several routes/);
  });
  it("pass through a route of any protocol with and without ALPN", () => {
    assert.equal(ask(table, "pass.example.com", ["acme-tls/1"]), "pass");
    assert.equal(ask(table, "pass.example.com"), "pass");
  });
});

describe("sources", () => {
  const table = new RouteTable([
    route("office", { source: ["10.0.0.0/8", "2001:db8::/32"] }),
    route("partner", { source: ["192.0.2.0/24"] }),
    route("wild", { sni: ["*.example.com"] }),
  ]);
  const from = (source: string): string => ask(table, "a.example.com", ["sallyport-tcp"], source);

  it("tell apart routes that are alike otherwise", () => {
    assert.equal(from("10.1.2.3"), "office/sallyport-tcp");
    assert.equal(from("2001:db8::5"), "office/sallyport-tcp");
    assert.equal(from("192.0.2.255"), "partner/sallyport-tcp");
  });
  it("an IPv4 client on an IPv6 socket is an IPv4 client", () =>
    assert.equal(from("::ffff:10.1.2.3"), "office/sallyport-tcp"));
  it("that no route of the name and protocol admits are refused, without falling through to a wider name", () => {
    assert.equal(from("192.0.3.0"), "source_not_allowed");
    assert.equal(from("::a01:203"), "source_not_allowed");
  });
  it("decide after the protocol: what no route speaks is no_protocol wherever it comes from", () =>
    assert.equal(ask(table, "a.example.com", ["imap"], "198.51.100.1"), "no_protocol"));
});

describe("a route's own listener", () => {
  const nameless = route("nameless", { sni: [], port: 9000 });
  const named = route("named", { sni: ["*.x.example.com", "n.example.com"], port: 9001 });
  const table = new RouteTable([nameless, named, route("other", { sni: ["a.x.example.com"] })]);
  const at = (own: Route, name: string | null, alpn: readonly string[] = [], source?: string): string =>
    ask(table, name, alpn, source, own);

  it("without names takes any name, a missing one, and what is none", () => {
    for (const name of ["a.example.com", null, "192.0.2.1", "é"])
      assert.equal(at(nameless, name), "nameless");
  });
  it("without names is not on the one port", () => assert.equal(ask(table, "nameless"), "unknown_name"));
  it("with names takes only those", () => {
    assert.equal(at(named, "n.example.com"), "named");
    assert.equal(at(named, "q.x.example.com"), "named");
    for (const name of ["m.example.com", "a.b.x.example.com", "x.example.com", null, ""])
      assert.equal(at(named, name), "unknown_name", String(name));
  });
  it("with names is on the one port too", () => assert.equal(ask(table, "n.example.com"), "named"));
  it("serves the route alone, whatever more specific name another has", () =>
    assert.equal(at(named, "a.x.example.com"), "named"));
  it("holds to the route's protocols, but a hello without ALPN is fine", () => {
    assert.equal(at(nameless, "a", ["h2"]), "no_protocol");
    assert.equal(at(nameless, "a", ["h2", "sallyport-tcp"]), "nameless/sallyport-tcp");
    assert.equal(at(route("any", { sni: [], alpn: null, port: 1 }), null, ["h2"]), "any");
  });
  it("holds to the route's sources", () => {
    const inside = route("inside", { sni: [], source: ["10.0.0.0/8"], port: 9002 });
    assert.equal(at(inside, null, [], "10.0.0.1"), "inside");
    assert.equal(at(inside, null, [], "11.0.0.1"), "source_not_allowed");
  });
  it("captures by the most specific of the route's names, as the one port does", () => {
    const two = route("two", { sni: ["{b}.{a}.example.com", "{a}.x.example.com"], port: 9003 });
    for (const own of [two, null]) {
      const match = new RouteTable([two]).match(question("foo.x.example.com", [], "192.0.2.1", own));
      assert.deepEqual(match.ok && { ...match.captures }, { a: "foo" });
    }
  });
});

describe("conflicts", () => {
  const between = (...routes: Route[]): string[] =>
    new RouteTable(routes)
      .conflicts()
      .map(({ first, second, detail }) => `${first.name} ${second.name}: ${detail}`);

  it("are two routes of one name and protocol", () => {
    const [found, ...more] = between(route("a", {}), route("b", { alpn: ["x", "sallyport-tcp"] }));
    assert.equal(more.length, 0);
    assert.match(found ?? "", /^a b: .*a\.example\.com.*sallyport-tcp/);
  });
  it("a wildcard and a capture are the same shape", () =>
    assert.equal(
      between(route("a", { sni: ["*.x.example"] }), route("b", { sni: ["{n}.x.example"] })).length,
      1,
    ));
  it("two routes of any protocol", () =>
    assert.equal(between(route("a", { alpn: null }), route("b", { alpn: null })).length, 1));
  it("two http routes that would both take a hello without ALPN", () =>
    assert.match(
      between(route("a", { ...http, alpn: ["h2"] }), route("b", { ...http, alpn: ["http/1.1"] }))[0] ?? "",
      /without ALPN/,
    ));
  it("sources that overlap, even in one address", () => {
    const wide = route("a", { source: ["10.0.0.0/8"] });
    assert.equal(between(wide, route("b", { source: ["192.0.2.0/24", "10.9.9.9"] })).length, 1);
    assert.equal(between(wide, route("b", {})).length, 1);
  });
  it("one route that says a name twice", () =>
    assert.equal(between(route("a", { sni: ["*.x.example", "{n}.x.example"] })).length, 1));
  it("every pair is named", () =>
    assert.equal(between(route("a", {}), route("b", {}), route("c", {})).length, 3));

  const peaceful: [string, Route[]][] = [
    ["other protocols", [route("a", {}), route("b", http)]],
    ["any protocol beside named ones", [route("a", {}), route("b", { alpn: null })]],
    ["an exact name under a wildcard", [route("a", {}), route("b", { sni: ["*.example.com"] })]],
    ["sources apart", [route("a", { source: ["10.0.0.0/8"] }), route("b", { source: ["11.0.0.0/8"] })]],
    ["IPv4 and IPv6", [route("a", { source: ["0.0.0.0/0"] }), route("b", { source: ["::/0"] })]],
    ["routes of their own ports alone", [route("a", { sni: [], port: 1 }), route("b", { sni: [], port: 2 })]],
  ];
  for (const [what, routes] of peaceful)
    it(`are not: ${what}`, () => assert.deepEqual(between(...routes), []));
});

describe("why not", () => {
  const table = new RouteTable([
    route("web", http),
    route("tcp", {}),
    route("any", { alpn: null }),
    route("wild", { sni: ["*.example.com"] }),
    route("far", { sni: ["b.example.net"] }),
    route("own", { sni: [], port: 9000 }),
    route("office", { sni: ["o.example.com"], source: ["10.0.0.0/8"] }),
    route("x", { sni: ["two.example.com"], alpn: ["x"] }),
    route("y", { sni: ["two.example.com"], alpn: ["y"] }),
  ]);
  const why = (name: string, ...of: Parameters<typeof question>): string => {
    const found = table.routes.find((one) => one.name === name);
    if (found === undefined) throw new Error(name);
    return table.whyNot(found, question(...of));
  };

  const cases: [string, Parameters<typeof question>, RegExp][] = [
    ["far", ["a.example.com"], /^serves b\.example\.net$/],
    ["far", [null], /^serves b\.example\.net$/],
    ["own", ["a.example.com"], /own port 9000/],
    ["wild", ["a.example.com", ["sallyport-tcp"]], /a\.example\.com is more specific/],
    ["tcp", ["a.example.com", ["h2"]], /^serves the protocols sallyport-tcp$/],
    ["tcp", ["a.example.com", ["h2", "sallyport-tcp"]], /prefers h2, which web serves/],
    ["any", ["a.example.com", ["h2"]], /no other route.*web serves h2/],
    ["web", ["a.example.com", ["imap"]], /^serves the protocols h2, http\/1\.1$/],
    ["tcp", ["a.example.com"], /without ALPN goes to web/],
    ["x", ["two.example.com"], /one of the protocols x.*several routes/],
    ["office", ["o.example.com"], /does not admit this source/],
  ];
  for (const [name, of, expected] of cases) {
    it(`${name} does not take ${of.flat().join(" ") || "no name"}: ${expected.source}`, () =>
      assert.match(why(name, ...of), expected));
  }
});

describe("any table", () => {
  const sketches = fc.uniqueArray(
    fc.record({
      sni: fc.uniqueArray(fc.constantFrom("a.x.y", "b.x.y", "*.x.y", "{n}.x.y", "*.*.y", "x.y", "*.y"), {
        minLength: 1,
        maxLength: 2,
      }),
      kind: fc.constantFrom("any", "tcp", "http"),
      alpn: fc.uniqueArray(fc.constantFrom("p", "q", "r"), { minLength: 1, maxLength: 2 }),
      source: fc.constantFrom(undefined, ["10.0.0.0/8"], ["10.1.0.0/16", "::/0"], ["11.0.0.0/8"]),
    }),
    { minLength: 1, maxLength: 5, selector: (sketch) => JSON.stringify(sketch) },
  );
  const tables = sketches.map((many) =>
    many.map(({ sni, kind, alpn, source }, i) =>
      route(`r${i}`, {
        sni,
        alpn: kind === "any" ? null : alpn,
        http: kind === "http",
        ...(source === undefined ? {} : { source }),
      }),
    ),
  );
  const questions = fc.tuple(
    fc.constantFrom("a.x.y", "b.x.y", "c.x.y", "c.d.y", "x.y", "z.y", "y", "a.b.x.y"),
    fc.uniqueArray(fc.constantFrom("p", "q", "r", "s", "\x0a\x0a"), { maxLength: 3 }),
    fc.constantFrom("10.1.2.3", "10.2.2.3", "11.1.1.1", "192.0.2.1", "2001:db8::1"),
  );

  it("without conflicts answers alike in whatever order its routes stand", () => {
    let clear = 0;
    fc.assert(
      fc.property(tables, questions, (routes, asked) => {
        const table = new RouteTable(routes);
        if (table.conflicts().length > 0) return;
        clear++;
        assert.equal(ask(new RouteTable([...routes].reverse()), ...asked), ask(table, ...asked));
      }),
      { numRuns: share(20_000) },
    );
    assert.ok(clear > 2000, `only ${clear} tables were free of conflicts`);
  });

  it("answers as the rules say, read one by one", () => {
    fc.assert(
      fc.property(tables, questions, (routes, [name, offered, source]) => {
        const table = new RouteTable(routes);
        if (table.conflicts().length > 0) return;
        const variables = ({ text }: NamePattern): number => text.split(/[*{]/).length - 1;
        const matches = ({ text }: NamePattern): boolean =>
          new RegExp(`^${text.replaceAll(".", "\\.").replace(/\*|\{\w+\}/g, "[^.]+")}$`).test(name);
        const named = routes.filter(({ names }) => names.some(matches));
        const least = (one: Route): number => Math.min(...one.names.filter(matches).map(variables));
        const fewest = Math.min(...named.map(least));
        const group = named.filter((one) => least(one) === fewest);
        const id = offered.find((wanted) => group.some(({ alpn }) => alpn?.includes(wanted)));
        const http = group.filter(({ takesNoAlpn }) => takesNoAlpn);
        const rest = group.filter(({ alpn }) => alpn === null);
        const fit =
          id !== undefined
            ? group.filter(({ alpn }) => alpn?.includes(id))
            : offered.length > 0
              ? rest
              : http.length > 0
                ? http
                : group.length === 1
                  ? group
                  : rest;
        const open = fit.filter(
          ({ sources }) =>
            ask(new RouteTable([{ ...route("s", {}), sources }]), "a.example.com", [], source) === "s",
        );
        const expected =
          group.length === 0
            ? "unknown_name"
            : fit.length === 0
              ? "no_protocol"
              : open.length === 0
                ? "source_not_allowed"
                : `${open[0]?.name}${id === undefined ? "" : `/${id}`}`;
        assert.equal(ask(table, name, offered, source), expected);
        assert.ok(open.length <= 1, "two routes take one hello, and no conflict was found");
      }),
      { numRuns: share(20_000) },
    );
  });

  it("tells every route but the chosen one why not", () => {
    fc.assert(
      fc.property(tables, questions, (routes, asked) => {
        const table = new RouteTable(routes);
        const chosen = table.match(question(...asked));
        for (const one of routes) {
          if (chosen.ok && chosen.route === one) continue;
          const why = table.whyNot(one, question(...asked));
          assert.ok(why !== "" && !/undefined|null/.test(why), why);
        }
      }),
      { numRuns: share(5000) },
    );
  });
});
