import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseNamePattern } from "../../src/config/names.ts";
import { formatCidr } from "../../src/wire/ip.ts";
import { authority, ca, folder, hourMs, routeOf, wrong } from "../support/environment.ts";

const tcp = (query: string): string => `tcp://10.0.0.1:5432?sni=a.example.com&client=none${query}`;

/** The one problem is SALLYPORT_ROUTE_R's and says this. */
function refused(url: string, expected: RegExp, variables: Readonly<Record<string, string>> = {}): void {
  const lines = wrong(url, variables).split("\n");
  assert.equal(lines.length, 1, lines.join("\n"));
  assert.match(lines[0] ?? "", /^SALLYPORT_ROUTE_R: /);
  assert.match(lines[0] ?? "", expected);
}

describe("a route's URL", () => {
  it("gives the scheme's adapter, ports and protocols", () => {
    const made = (url: string) => {
      const { adapter, alpn, terminates, takesNoAlpn, upstream, client } = routeOf(
        `${url}?sni=a.example.com`,
      );
      return [adapter, alpn, terminates, takesNoAlpn, upstream?.port, upstream?.tls.mode, client];
    };
    const web = ["h2", "http/1.1", "sallyport-http"];
    const kube = ["h2", "http/1.1", "sallyport-kubernetes"];
    const own = (name: string): string[] => [`sallyport-${name}`];
    assert.deepEqual(made("tls://u"), ["tls", null, false, false, 443, "off", "none"]);
    assert.deepEqual(made("tcp://u:1"), ["tcp", ["sallyport-tcp"], true, false, 1, "off", "required"]);
    assert.deepEqual(made("http://u"), ["http", web, true, true, 80, "off", "required"]);
    assert.deepEqual(made("https://u"), ["http", web, true, true, 443, "verify", "required"]);
    assert.deepEqual(made("h2c://u"), ["http", web, true, true, 80, "off", "required"]);
    assert.deepEqual(made("kubernetes://u"), ["kubernetes", kube, true, true, 6443, "verify", "required"]);
    const postgres = ["postgresql", "sallyport-postgres"];
    assert.deepEqual(made("postgres://u"), ["postgres", postgres, true, false, 5432, "off", "required"]);
    assert.deepEqual(made("mysql://u"), ["mysql", own("mysql"), true, false, 3306, "off", "required"]);
    assert.deepEqual(made("redis://u"), ["redis", own("redis"), true, false, 6379, "off", "required"]);
    assert.deepEqual(made("rediss://u"), ["redis", own("redis"), true, false, 6379, "verify", "required"]);
    assert.deepEqual(made("mongodb://u"), ["mongodb", own("mongodb"), true, false, 27017, "off", "required"]);
    assert.deepEqual(made("ssh://u"), ["ssh", own("ssh"), true, false, 22, "off", "required"]);
  });

  it("sets everything that it may set", () => {
    const route = routeOf(
      "tcp://db.internal:5432?sni=a.example.com,{n}.b.example.com&alpn=x,y&client=optional&allow=cn:alice" +
        "&allow=group:ops,o:Example&source=10.0.0.0/8&source=::1,192.0.2.1&port=9000&send_proxy=v2" +
        "&upstream_tls=insecure&upstream_sni=real.internal&idle_timeout=5m&max_connections=7",
    );
    assert.deepEqual(
      route.names.map(({ text }) => text),
      ["a.example.com", "{n}.b.example.com"],
    );
    assert.deepEqual(route.alpn, ["x", "y"]);
    assert.equal(route.client, "optional");
    assert.deepEqual(
      route.allow.map(({ text }) => text),
      ["cn:alice", "group:ops,o:Example"],
    );
    assert.deepEqual(route.sources?.map(formatCidr), ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]);
    assert.equal(route.port, 9000);
    assert.equal(route.upstream?.host, "db.internal");
    assert.equal(route.upstream?.sendProxy, "v2");
    assert.equal(route.upstream?.tls.mode, "insecure");
    assert.equal(route.upstream?.tls.serverName, "real.internal");
    assert.equal(route.idleTimeoutMs, 300_000);
    assert.equal(route.maxConnections, 7);
  });

  it("is the whole connection's idle time and anchors where it has none of its own", () => {
    const route = routeOf(tcp("").replace("&client=none", ""), { SALLYPORT_IDLE_TIMEOUT: "7s" });
    assert.equal(route.idleTimeoutMs, 7000);
    assert.equal(route.anchors.length, 1);
    assert.equal(route.maxConnections, null);
    assert.equal(route.sources, null);
  });

  it("may have its scheme in capitals and an IPv6 upstream", () => {
    const route = routeOf("TCP://[2001:db8::1]:22?sni=a.example.com");
    assert.equal(route.scheme, "tcp");
    assert.equal(route.upstream?.host, "2001:db8::1");
  });

  for (const url of [
    "x",
    "10.0.0.1:5432",
    "tcp:10.0.0.1:1?sni=a.example.com",
    "tcp://h:1?sni=a.example.com#x",
    "://",
  ]) {
    it(`${url} is no URL`, () => refused(url, /is no URL: expected SCHEME:\/\/HOST:PORT/));
  }
  it("ssh takes no upstream_tls", () =>
    refused(
      "ssh://h:1?sni=a.example.com&upstream_tls=verify",
      /upstream_tls=verify is not available on ssh routes in this version/,
    ));
  it("an unknown scheme is told the nearest", () =>
    refused("htpps://h?sni=a.example.com", /unknown scheme htpps:\/\/: .*did you mean https\?/));
  it("tcp names a port", () => refused("tcp://h?sni=a.example.com", /names its upstream's port/));

  for (const host of [
    "",
    ":80",
    "h:0",
    "h:65536",
    "h:99999999",
    "h:x",
    "h:1,i:2",
    "h%2Fx:80",
    "h%20x:80",
    "a..b:80",
    "-a:80",
    "h%00:80",
    "%C3%A9%00:80",
    "%C3%A9%2Fx:80",
    "[::1:80",
    "[10.0.0.1]:80",
    "[::g]:80",
    "::1:80",
    "1.2.3:80",
    "2130706433:80",
    "0x7f.1:80",
  ]) {
    it(`the upstream ${JSON.stringify(host)} is refused`, () =>
      refused(`tcp://${host}?sni=a.example.com`, /upstream|is no port|is no URL|is no host/));
  }
  it("credentials and paths are refused where nothing would use them, and are not repeated", () => {
    for (const url of [
      "http://bob:hunter2@h/?sni=a.example.com",
      "tcp://bob:hunter2@x@h:1?sni=a.example.com",
    ]) {
      refused(url, /no user name or password|is no URL/);
      assert.ok(!wrong(url).includes("hunter2"));
    }
    refused("http://h/app?sni=a.example.com", /takes no path/);
    assert.equal(wrong("http://h/?sni=a.example.com"), "");
  });
});

describe("parameters", () => {
  it("an unknown one is told the nearest", () => {
    refused(tcp("&scource=10.0.0.0/8"), /unknown parameter scource=; did you mean source\?/);
    refused(tcp("&constructor=1"), /unknown parameter constructor=/);
    refused(tcp("&__proto__=1"), /unknown parameter __proto__=/);
  });
  describe("via", () => {
    const allow = { SALLYPORT_TUNNEL_ALLOW: "edge-*=group:edge" };
    it("makes the upstream a service of an agent, without a port", () => {
      const { upstream } = routeOf("ssh://ssh?sni={agent}.ssh.example.com&via={agent}", allow);
      assert.deepEqual([upstream?.host, upstream?.port, upstream?.via], ["ssh", 0, "{agent}"]);
      assert.equal(
        routeOf("tcp://{s}?sni={s}.{a}.example.com&via=edge-{a}", allow).upstream?.via,
        "edge-{a}",
      );
    });
    it("takes names alone, and captures that there are", () => {
      refused(
        "tcp://10.0.0.1:5?sni=a.example.com&via=edge-1",
        /a service of that agent, and "10.0.0.1:5" is none/,
      );
      refused("tcp://ssh?sni=a.example.com&via=edge.1", /via=edge.1 is no agent's name/);
      refused("tcp://ssh?sni=a.example.com&via={x}", /\{x\} in the upstream is captured by no sni=/);
      refused("https://web?sni=a.example.com&via=edge-1", /via= needs upstream_sni=/);
    });
    it("needs somebody who may publish that agent", () => {
      refused("tcp://ssh?sni=a.example.com&via=edge-1", /via=edge-1 needs SALLYPORT_TUNNEL_ALLOW/);
      assert.match(wrong("tcp://ssh?sni=a.example.com&via=other", allow), /lets nobody publish that agent/);
    });
  });
  for (const key of [
    "client",
    "port",
    "send_proxy",
    "upstream_tls",
    "idle_timeout",
    "max_connections",
    "upstream_sni",
  ])
    it(`${key} twice is refused`, () =>
      refused(`tcp://h:1?sni=a.example.com&${key}=1&${key}=1`, new RegExp(`${key}= stands there twice`)));
  for (const key of [
    "client",
    "client_ca",
    "allow",
    "upstream_tls",
    "upstream_ca",
    "upstream_cert",
    "upstream_sni",
  ])
    it(`${key} on a tls route is refused`, () =>
      refused(`tls://h?sni=a.example.com&${key}=none`, new RegExp(`${key}= makes no sense on a tls route`)));
  for (const [query, expected] of [
    ["port=0", /port="0" is no port/],
    ["port=65536", /is no port/],
    ["port=1.5", /is no port/],
    ["source=10.0.0.1/8", /source="10.0.0.1\/8" is no network/],
    ["source=,", /at least one network/],
    ["source=example.com", /is no network/],
    ["send_proxy=v3", /send_proxy="v3": expected v1 or v2/],
    ["upstream_tls=on", /expected off, verify or insecure/],
    ["idle_timeout=5", /idle_timeout="5" is no duration/],
    ["idle_timeout=0s", /out of bounds/],
    ["idle_timeout=800h", /out of bounds/],
    ["max_connections=0", /is no count/],
    ["max_connections=-1", /is no count/],
    ["alpn=", /alpn= is empty/],
    ["alpn=,", /alpn= is empty/],
    ["alpn=acme-tls/1", /never a route/],
    ["alpn=h2,acme-tls%2F1", /never a route/],
    ["alpn=ZZ", /is no protocol id/],
    ["alpn=h%C3%A9", /is no protocol id/],
    [`alpn=${"x".repeat(256)}`, /is no protocol id/],
    ["send_proxy=%zz", /no percent-encoding/],
  ] as const) {
    it(`${query.slice(0, 40)} is refused`, () => refused(tcp(`&${query}`), expected));
  }
});

describe("names in sni", () => {
  const text = (name: string): string => {
    const found = parseNamePattern(name);
    return "problem" in found ? `no: ${found.problem}` : found.text;
  };
  it("are normalised: case, final dot, IDNA", () => {
    assert.equal(text("A.Example.COM."), "a.example.com");
    assert.equal(text("bücher.example"), "xn--bcher-kva.example");
    assert.equal(text("*.Bücher.example"), "*.xn--bcher-kva.example");
    assert.equal(text("xn--bcher-kva.example"), "xn--bcher-kva.example");
  });
  it("are matched as the client writes them: as A-labels", () =>
    assert.equal(routeOf("tls://h?sni=b%C3%BCcher.example").names[0]?.text, "xn--bcher-kva.example"));

  for (const name of [
    "*",
    "*.*",
    "{a}",
    "a.*.example.com",
    "a*.example.com",
    "*a.example.com",
    "{a}b.example.com",
    "a.{b}.example.com",
    "{A}.example.com",
    "{1a}.example.com",
    "{}.example.com",
    "{a}.{a}.example.com",
    "**.example.com",
    "10.0.0.1",
    "*.0.0.1",
    "2001:db8::1",
    "[::1]",
    "１２７.0.0.1",
    "a b.example",
    "a..b",
    ".a",
    "-a.example",
    "é.example:8443",
    "é@evil.example",
    "é.example/x",
    "é.example?x",
    "é.example#x",
    "é\\x.example",
  ]) {
    it(`${name} is refused`, () => assert.match(text(name), /^no: /));
  }
  it("are needed, unless the route has a port of its own", () => {
    refused("tcp://h:1?client=none", /has no sni=/);
    assert.deepEqual(routeOf("tcp://h:1?client=none&port=9000").names, []);
  });
  it("that are only commas do not open a port to every name", () =>
    refused("tcp://h:1?sni=,&client=none&port=9000", /sni= is empty/));
});

describe("captures in the upstream", () => {
  it("are kept for the match to fill in", () => {
    const route = routeOf(
      "tcp://{pod}.{ns}.internal:1?sni={pod}.{ns}.example.org&upstream_sni=n-{pod}.internal&upstream_tls=verify",
    );
    assert.equal(route.upstream?.host, "{pod}.{ns}.internal");
    assert.equal(route.upstream?.tls.serverName, "n-{pod}.internal");
  });
  it("must be captured by every name of the route", () => {
    refused("tcp://{x}.internal:1?sni={node}.example.com", /\{x\} in the upstream is captured by no sni=/);
    refused("tcp://{node}.internal:1?sni={node}.example.com,a.example.com", /\{node\} in the upstream/);
    refused("tcp://{node}.internal:1?port=9000", /\{node\} in the upstream/);
    refused("https://h?sni=*.example.com&upstream_sni={node}.internal", /\{node\} in the upstream/);
  });
  it("can't be all of the upstream, or its end: a client could then ask for 2130706433, which is an address", () => {
    for (const host of ["{a}", "{a}.{b}", "x.{a}", "x.n{a}", "{a}.", "{a}.0.0.1"])
      refused(`tcp://${host}:1?sni={a}.{b}.example.com`, /ends in a capture|is no host/);
    refused("https://h?sni={a}.example.com&upstream_sni={a}", /ends in a capture/);
  });
  it("are no other braces", () =>
    refused("tcp://{Node}.internal:1?sni={node}.example.com", /is no host|captured by no/));
});

describe("values from the environment", () => {
  it(`take the place of \${NAME}`, () => {
    const route = routeOf(`tcp://\${DB_HOST}:1?sni=\${NAME}.example.com`, {
      DB_HOST: "db.internal",
      NAME: "a",
    });
    assert.equal(route.upstream?.host, "db.internal");
    assert.equal(route.names[0]?.text, "a.example.com");
  });
  it("may hold anything, and stay a value: no parameter, no other host, no second replacement", () => {
    const odd = `a/b@c?client=none&client=none#x%41\${HOME}`;
    const route = routeOf(`tcp://h:1?sni=a.example.com&allow=cn:\${ODD}`, { ODD: odd });
    assert.equal(route.client, "required");
    assert.equal(route.allow[0]?.text, `cn:${odd}`);
    refused(`tcp://\${ODD}:1?sni=a.example.com`, /upstream|host/, {
      ODD: "h:1?client=none&sni=b.example.com",
    });
  });
  it("that are not there are named", () =>
    refused(`tcp://h:1?sni=\${NOT_THERE}`, /\$\{NOT_THERE\} is not set in the environment/));
  for (const text of [`\${`, `\${}`, `\${A-B}`, `\${1A}`, `\${A`])
    it(`${text} is refused`, () =>
      refused(`tcp://h:1?sni=a.example.com&allow=cn:${text}`, /is no \$\{NAME\}/, { A: "x" }));
  it("are never in an error", () => {
    const secret = "hunter2/:@";
    for (const url of [
      `tcp://u:\${S}@h:1?sni=a.example.com`,
      `nope://u:\${S}@h:1?sni=a`,
      `http://u:\${S}@h/x y?sni=a`,
    ]) {
      const said = wrong(url, { S: secret });
      assert.notEqual(said, "");
      assert.ok(!said.includes("hunter2"), said);
    }
  });
});

describe("client certificates of a route", () => {
  const noAnchors = { SALLYPORT_CLIENT_CA: "" };
  it("need trust anchors when they are required, which they are by default", () => {
    refused("tcp://h:1?sni=a.example.com", /client=required needs trust anchors/, noAnchors);
    refused("tcp://h:1?sni=a.example.com&client=required", /needs trust anchors/, noAnchors);
    refused("tcp://h:1?sni=a.example.com&client=optional", /client=optional needs trust anchors/, noAnchors);
  });
  it("are not asked for with client=none, nor on tls routes", () => {
    for (const url of ["tcp://h:1?sni=a.example.com&client=none", "tls://h?sni=a.example.com"]) {
      const route = routeOf(url, noAnchors);
      assert.equal(route.client, "none");
      assert.deepEqual(route.anchors, []);
    }
  });
  it("may be trusted by the route's own anchors, text or path, and then by no others", async () => {
    const other = authority.certificate.toString("pem");
    const query = (value: string): string => `tcp://h:1?sni=a.example.com&client_ca=${value}`;
    assert.equal(routeOf(query(other), noAnchors).anchors.length, 1);
    assert.equal(
      routeOf(query("/etc/own.pem"), {}, folder({ "/etc/own.pem": `${ca}${ca}` })).anchors.length,
      2,
    );
    assert.equal(routeOf(query(`\${OWN}`), { ...noAnchors, OWN: ca }).anchors.length, 1);
  });
  it("are refused with rules but no certificate to ask for", () => {
    refused(tcp("&allow=cn:alice"), /allow= needs a client certificate/);
    refused(tcp(`&client_ca=${encodeURIComponent(ca)}`), /client_ca= makes no sense with client=none/);
  });
  it("rules that are none are refused", () => {
    refused("tcp://h:1?sni=a.example.com&allow=alice", /allow="alice" is no rule/);
    refused("tcp://h:1?sni=a.example.com&allow=cn:", /has no value/);
    refused(
      "tcp://h:1?sni=a.example.com&client=maybe",
      /client="maybe": expected required, optional or none/,
    );
  });
  it("anchors that can't be read are refused", () => {
    refused("tcp://h:1?sni=a.example.com&client_ca=/nowhere", /client_ca= can't be read \(no such file\)/);
    refused("tcp://h:1?sni=a.example.com&client_ca=-----BEGIN%20X-----", /client_ca= holds no certificate/);
    const broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";
    refused(
      `tcp://h:1?sni=a.example.com&client_ca=${broken}`,
      /client_ca= holds a certificate that can't be read/,
    );
  });
});

describe("TLS to the upstream", () => {
  const url = (query: string): string => `https://h?sni=a.example.com${query}`;
  it("shows a certificate whose key fits", async () => {
    const pair = await authority.client({ commonName: "router" }, hourMs);
    const other = await authority.client({ commonName: "other" }, hourMs);
    const disk = folder({ "/c": pair.cert, "/k": pair.key, "/other": other.key });
    const { upstream } = routeOf(url("&upstream_cert=/c&upstream_key=/k&upstream_ca=/c"), {}, disk);
    assert.equal(upstream?.tls.cert, pair.cert);
    assert.equal(upstream?.tls.key, pair.key);
    assert.equal(upstream?.tls.ca?.length, 1);
    assert.match(
      wrong(url("&upstream_cert=/c&upstream_key=/other"), {}, disk),
      /upstream_key= the private key is not/,
    );
    assert.match(wrong(url("&upstream_cert=/c"), {}, disk), /upstream_cert= and upstream_key= go together/);
    assert.match(
      wrong(url("&upstream_cert=/k&upstream_key=/k"), {}, disk),
      /upstream_cert= holds no certificate/,
    );
  });
  it("has no options where there is no TLS, and no anchors where nothing is verified", () => {
    refused("http://h?sni=a.example.com&upstream_sni=x.internal", /need upstream_tls=verify/);
    refused(url(`&upstream_tls=insecure&upstream_ca=${encodeURIComponent(ca)}`), /verifies nothing/);
  });
  it("asks for a name, not an address", () =>
    refused(url("&upstream_sni=10.0.0.1"), /upstream_sni= "10.0.0.1" is no host/));
});
