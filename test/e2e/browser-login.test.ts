import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { decodeJwt, exportPKCS8, generateKeyPair } from "jose";
import type { LoginRecord } from "../../src/sign-in/record.ts";
import { dial, readAll } from "../support/client.ts";
import { missing } from "../support/programs.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { forged, TokenIssuer } from "../support/token-issuer.ts";
import { httpUpstream, type Upstream } from "../support/upstreams.ts";
import { type Answer, WebBrowser } from "../support/web-browser.ts";

const names = ["gate.test", "app.test", "other.test", "all.test", "one.nodes.test", "two.nodes.test"];
const session = "__Host-sallyport";
let site: Site;
let router: TestRouter;
let issuer: TokenIssuer;
let upstream: Upstream;
let denied: string;

before(async () => {
  site = await createSite(names);
  issuer = await TokenIssuer.start();
  Object.assign(issuer.documents["/.well-known/openid-configuration"] as object, {
    authorization_endpoint: `${issuer.issuer}/authorize`,
    token_endpoint: `${issuer.issuer}/token`,
    id_token_signing_alg_values_supported: ["ES256"],
  });
  upstream = await httpUpstream(
    (request, response) => {
      if (request.url === "/steal")
        response.setHeader("set-cookie", [
          "mine=1; Path=/",
          `${session}=theirs; Path=/; Secure`,
          `__host-SALLYPORT-x=theirs; Path=/; Secure`,
          `=${session}=theirs; Path=/`,
        ]);
      if (request.url === "/endless") return void response.writeHead(200).write("begun");
      response.end(JSON.stringify({ method: request.method, url: request.url, raw: request.rawHeaders }));
    },
    (request, socket) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${request.headers.upgrade}\r\nConnection: Upgrade\r\n\r\nhello`,
      );
      socket.on("data", (chunk) => socket.write(chunk));
    },
  );
  denied = join(site.folder, "denied");
  writeFileSync(denied, "");
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const to = `http://127.0.0.1:${upstream.port}`;
  router = await startRouter(site, {
    SALLYPORT_HOST: "gate.test",
    SALLYPORT_HOST_LOGIN: "oidc",
    SALLYPORT_ADMIN_ALLOW: "group:operators",
    SALLYPORT_DENY: denied,
    SALLYPORT_JWT_KEY: await exportPKCS8(privateKey),
    SALLYPORT_OIDC_STAFF: `${issuer.issuer}?client_id=sallyport&group={groups}&email={email}`,
    SALLYPORT_ROUTE_APP: `${to}?sni=app.test&client=optional&login=oidc&allow=group:payments`,
    SALLYPORT_ROUTE_OTHER: `${to}?sni=other.test&client=none&login=oidc&allow=group:ops`,
    SALLYPORT_ROUTE_NODES: `${to}?sni={node}.nodes.test&client=none&login=oidc`,
  });
});
after(async () => {
  await router?.stop();
  upstream?.close();
  issuer?.close();
  site?.remove();
});

type Version = "HTTP/1.1" | "HTTP/2";
const browser = (version: Version = "HTTP/1.1"): WebBrowser =>
  new WebBrowser(site, () => router.port, version);

/** The `login` record that fits; it is written a moment before the answer. */
const recorded = async (fits: (record: LoginRecord) => boolean): Promise<LoginRecord> =>
  (await router.record((one) => {
    const record = one as unknown as LoginRecord;
    return record.event === "login" && fits(record);
  })) as unknown as LoginRecord;

/** What the router sent a browser to the provider with. */
const asked = (answer: Answer): URLSearchParams => {
  assert.equal(answer.status, 303, answer.body);
  const url = new URL(answer.field("location"));
  assert.equal(`${url.origin}${url.pathname}`, `${issuer.issuer}/authorize`);
  return url.searchParams;
};

/** The provider answers: what it gives for any code from now on. */
async function vouch(
  query: URLSearchParams,
  claims: Readonly<Record<string, unknown>> = {},
  change: (token: string) => string = (token) => token,
): Promise<void> {
  const token = await issuer.token({ nonce: query.get("nonce"), groups: ["payments"], ...claims });
  issuer.documents["/token"] = { access_token: "any", token_type: "bearer", id_token: change(token) };
}

const back = (query: URLSearchParams, more: Readonly<Record<string, string>> = {}): string =>
  `${query.get("redirect_uri")}?${new URLSearchParams({ code: "c", state: query.get("state") ?? "", ...more })}`;

/** Follows the provider's redirect to the router's own name, and on to where the login began. */
async function comeBack(visitor: WebBrowser, url: string): Promise<Answer> {
  const passed = await visitor.open(url);
  return passed.status === 303 && new URL(passed.field("location")).pathname === new URL(url).pathname
    ? visitor.open(passed.field("location"))
    : passed;
}

/** From the first page to the session. */
async function signIn(
  visitor: WebBrowser,
  url: string,
  claims: Readonly<Record<string, unknown>> = {},
): Promise<Answer> {
  const query = asked(await visitor.open(url));
  await vouch(query, claims);
  return comeBack(visitor, back(query));
}

const seen = (answer: Answer): Map<string, string> => {
  assert.equal(answer.status, 200, answer.body);
  const { raw } = JSON.parse(answer.body) as { raw: string[] };
  return new Map(
    raw.flatMap((name, i): [string, string][] =>
      i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1] ?? ""]] : [],
    ),
  );
};

describe("a browser without a certificate", { skip: missing("curl") }, () => {
  for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
    it(`signs in at the provider, and the upstream is told who it is, ${version}`, async () => {
      const visitor = browser(version);
      const query = asked(await visitor.open("https://app.test/a/b?c=d"));
      assert.equal(query.get("redirect_uri"), "https://gate.test/.well-known/sallyport/callback");
      assert.equal(query.get("code_challenge_method"), "S256");
      assert.equal(query.get("response_type"), "code");
      await vouch(query);
      const done = await comeBack(visitor, back(query));
      assert.equal(done.status, 303, done.body);
      assert.equal(`HTTP/${done.version}`, version);
      assert.equal(done.field("location"), "https://app.test/a/b?c=d");
      const set = done.fields.filter(([name]) => name === "set-cookie").map(([, value]) => value);
      assert.match(
        set.find((one) => one.startsWith(`${session}=`)) ?? "",
        /^__Host-sallyport=\S+; Path=\/; Max-Age=\d+; Secure; HttpOnly; SameSite=Lax$/,
      );
      assert.equal(visitor.jar.get("app.test")?.size, 1, "nothing is left of the login");

      const fields = seen(
        await visitor.open("https://app.test/a/b?c=d", {
          cookies: `x=1; ${visitor.cookiesFor("https://app.test/")}; y=2`,
          headers: {
            "Sallyport-Identity": "root",
            "X-Forwarded-Client-Cert": "root",
            Sallyport_Identity: "root",
          },
        }),
      );
      assert.equal(fields.get("cookie"), "x=1; y=2");
      assert.equal(fields.get("x-forwarded-client-cert"), undefined);
      assert.equal(fields.get("sallyport_identity"), undefined);
      const claims = decodeJwt(fields.get("sallyport-identity") ?? "");
      assert.equal(claims.sub, "CN=alice@example.com,OU=payments");
      assert.deepEqual(claims.groups, ["payments"]);
      assert.equal(claims.fingerprint, null);
      assert.ok((claims.exp ?? 0) <= Date.parse(String(claims.expires)) / 1000);

      const login = await recorded(
        ({ voucher, outcome }) => voucher === "staff:user-1" && outcome === "served",
      );
      assert.equal(login.identity?.subject, claims.sub);
      const served = await router.record((one) => one.logins?.length === 1 && one.sni === "app.test");
      assert.equal(served.identity?.subject, claims.sub);
      assert.equal(served.identity?.serial, null);
    });
  }

  it("gets 401 for what is no page, and a WebSocket none", async () => {
    const answer = await browser().ask("https://app.test/api", { headers: { Accept: "application/json" } });
    assert.equal(answer.status, 401);
    assert.match(answer.body, /"reason":"client_cert_missing"/);
    assert.equal(answer.field("set-cookie"), "");
    const posted = await browser().open("https://app.test/", { method: "POST", data: "a=b" });
    assert.equal(posted.status, 401);
    const fetched = await browser().ask("https://app.test/", {
      headers: { "Sec-Fetch-Mode": "cors", Accept: "text/html" },
    });
    assert.equal(fetched.status, 401);
    const old = await browser().ask("https://app.test/", { headers: { Accept: "text/html,*/*;q=0.8" } });
    assert.equal(old.status, 303);
    const head = await browser().open("https://app.test/", { method: "HEAD" });
    assert.equal(head.status, 303);
    assert.match(await webSocket("app.test", ""), /^HTTP\/1\.1 401 /);
  });

  it("is no reason to ask others: whoever has a certificate is let in by it", async () => {
    const fields = seen(await browser().ask("https://app.test/", { as: "alice" }));
    assert.match(fields.get("x-forwarded-client-cert") ?? "", /^Hash=/);
  });

  it("comes back to a path of the same host, whatever it asked for", async () => {
    for (const [path, to] of [
      ["//evil.test/", "/"],
      ["/\\evil.test/", "/"],
      ["/%0d%0aLocation:%20https://evil.test", "/%0d%0aLocation:%20https://evil.test"],
      [`/${"a".repeat(1100)}`, "/"],
    ] as const) {
      const visitor = browser();
      const done = await signIn(visitor, `https://app.test${path}`);
      assert.equal(done.field("location"), `https://app.test${to}`);
    }
    for (const to of [
      "https://evil.test/",
      "//evil.test",
      "/\\evil.test",
      "\\/evil.test",
      "javascript:alert(1)",
      "%09//evil.test",
    ]) {
      const visitor = browser();
      const done = await signIn(
        visitor,
        `https://app.test/.well-known/sallyport/sign-in?to=${encodeURIComponent(to)}`,
      );
      assert.equal(done.field("location"), "https://app.test/", to);
    }
  });

  it("may have several logins under way, not any number", async () => {
    const visitor = browser();
    const first = asked(await visitor.open("https://app.test/1"));
    const second = asked(await visitor.open("https://app.test/2"));
    await vouch(first);
    assert.equal((await comeBack(visitor, back(first))).field("location"), "https://app.test/1");
    visitor.jar.get("app.test")?.delete(session);
    await vouch(second);
    assert.equal((await comeBack(visitor, back(second))).field("location"), "https://app.test/2");
    visitor.jar.clear();
    for (let i = 0; i < 9; i++) await visitor.open("https://app.test/");
    assert.ok((visitor.jar.get("app.test")?.size ?? 0) <= 6);
  });
});

describe("a session", () => {
  it("is good on its own route and at its own name alone", async () => {
    const visitor = browser();
    assert.equal((await signIn(visitor, "https://app.test/")).status, 303);
    const cookie = visitor.cookiesFor("https://app.test/");
    for (const elsewhere of ["other.test", "one.nodes.test"]) {
      const answer = await visitor.ask(`https://${elsewhere}/`, { cookies: cookie });
      assert.equal(answer.status, 401, elsewhere);
    }
    assert.equal((await signIn(visitor, "https://one.nodes.test/")).status, 303);
    assert.equal((await visitor.ask("https://one.nodes.test/")).status, 200);
    const node = visitor.cookiesFor("https://one.nodes.test/");
    assert.equal((await visitor.ask("https://two.nodes.test/", { cookies: node })).status, 401);
    assert.equal((await visitor.ask("https://gate.test/v1/whoami", { cookies: node })).status, 401);
    // By another name than the connection's it is not asked at all.
    const foreign = await visitor.ask("https://app.test/", {
      headers: { Host: "one.nodes.test" },
      cookies: node,
    });
    assert.equal(foreign.status, 421);
  });

  it("can't be made or changed by anybody else", async () => {
    const visitor = browser();
    await signIn(visitor, "https://app.test/");
    const cookie = visitor.jar.get("app.test")?.get(session) ?? "";
    const claims = {
      aud: "staff app app.test",
      exp: Math.floor(Date.now() / 1000) + 600,
      jti: "1",
      voucher: "staff:root",
      cn: "root",
      groups: ["payments"],
      emails: [],
      uris: [],
    };
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const bad = [
      `${part({ alg: "none" })}.${part(claims)}.`,
      `${part({ alg: "none", typ: "JWT" })}.${part(claims)}.${cookie.split(".").at(-1)}`,
      forged(await issuer.token(claims), { alg: "HS256" }, () => "AAAA"),
      await issuer.token(claims),
      `${part({ alg: "dir", enc: "A256GCM" })}..${cookie.split(".").slice(2).join(".")}`.replace(/.$/, "!"),
      cookie.slice(0, -4),
      cookie.replace(/^[^.]+/, part({ alg: "dir", enc: "A128GCM" })),
      `${cookie.slice(0, 60)}${cookie[60] === "A" ? "B" : "A"}${cookie.slice(61)}`,
      "",
      "a".repeat(20_000),
    ];
    for (const value of bad) {
      const answer = await visitor.ask("https://app.test/", { cookies: `${session}=${value}` });
      assert.equal(answer.status, 401, value.slice(0, 80));
    }
    // Nobody can say which of two counts.
    const twice = await visitor.ask("https://app.test/", {
      cookies: `${session}=${cookie}; ${session}=${cookie}`,
    });
    assert.equal(twice.status, 401);
    assert.equal((await visitor.ask("https://app.test/", { cookies: `${session}=${cookie}` })).status, 200);
    // What a login under way is kept in is no session.
    await visitor.open("https://app.test/", { cookies: "" });
    const pending = [...(visitor.jar.get("app.test") ?? [])].find(([name]) => name !== session)?.[1];
    assert.ok(pending !== undefined);
    assert.equal((await visitor.ask("https://app.test/", { cookies: `${session}=${pending}` })).status, 401);
  });

  it("ends with the ID token", async () => {
    const visitor = browser();
    const soon = Math.floor(Date.now() / 1000) + 6;
    const done = await signIn(visitor, "https://app.test/", { exp: soon });
    const cookie = visitor.jar.get("app.test")?.get(session) ?? "";
    assert.match(
      done.fields.map(([, value]) => value).join("\n"),
      /__Host-sallyport=\S+; Path=\/; Max-Age=[0-6];/,
    );
    while (Date.now() <= soon * 1000) await new Promise((next) => setTimeout(next, 100));
    assert.equal((await visitor.ask("https://app.test/", { cookies: `${session}=${cookie}` })).status, 401);
  });

  it("changes nothing for another site's sake", async () => {
    const visitor = browser();
    await signIn(visitor, "https://app.test/");
    const post = (headers: Readonly<Record<string, string>>) =>
      visitor.ask("https://app.test/", { method: "POST", data: "a=b", headers });
    for (const headers of [
      { Origin: "https://evil.test" },
      { Origin: "https://app.test.evil.test" },
      { Origin: "https://other.test" },
      { Origin: "http://app.test" },
      { Origin: "https://app.test:8443" },
      { Origin: "null" },
      { "Sec-Fetch-Site": "cross-site" },
      { "Sec-Fetch-Site": "same-site" },
      { Origin: "https://app.test", "Sec-Fetch-Site": "same-site" },
      {},
    ]) {
      const answer = await post(headers);
      assert.equal(answer.status, 403, JSON.stringify(headers));
      assert.match(answer.body, /source_not_allowed/);
    }
    for (const method of ["PUT", "DELETE", "PATCH", "PROPFIND"])
      assert.equal((await visitor.ask("https://app.test/", { method })).status, 403, method);
    assert.equal((await post({ Origin: "https://app.test" })).status, 200);
    assert.equal((await post({ "Sec-Fetch-Site": "same-origin" })).status, 200);
  });

  it("is held to the same by HTTP/2", async () => {
    const visitor = browser("HTTP/2");
    await signIn(visitor, "https://app.test/");
    const post = { method: "POST", data: "a=b" };
    for (const headers of [{ Origin: "https://evil.test" }, {}])
      assert.equal((await visitor.ask("https://app.test/", { ...post, headers })).status, 403);
    const here = await visitor.ask("https://app.test/", { ...post, headers: { Origin: "https://app.test" } });
    assert.equal(here.status, 200);
    const cookies = visitor.cookiesFor("https://app.test/");
    for (const bad of [
      `${cookies}x`,
      cookies.replace("=", "=x"),
      `${cookies}; ${cookies}`,
      `a=${"b".repeat(20_000)}`,
    ])
      assert.equal((await visitor.ask("https://app.test/", { cookies: bad })).status, 401);
    assert.equal((await visitor.ask("https://other.test/", { cookies })).status, 401);
  });

  it("opens no WebSocket for another site", async () => {
    const visitor = browser();
    await signIn(visitor, "https://app.test/");
    const cookie = `Cookie: ${visitor.cookiesFor("https://app.test/")}\r\n`;
    for (const origin of [
      "Origin: https://evil.test\r\n",
      "Origin: null\r\n",
      "Sec-Fetch-Site: same-site\r\n",
      "",
    ])
      assert.match(await webSocket("app.test", cookie + origin), /^HTTP\/1\.1 403 /, origin);
    const [head = "", ...body] = (await webSocket("app.test", `${cookie}Origin: https://app.test\r\n`)).split(
      "\r\n\r\n",
    );
    assert.match(head, /^HTTP\/1\.1 101 /);
    assert.deepEqual(body, ["hello"]);
  });

  it("is kept from the upstream, which can't set it either", async () => {
    const visitor = browser();
    await signIn(visitor, "https://app.test/");
    const answer = await visitor.ask("https://app.test/steal");
    const set = answer.fields.filter(([name]) => name === "set-cookie").map(([, value]) => value);
    assert.deepEqual(set, ["mine=1; Path=/"]);
    const fields = seen(
      await visitor.ask("https://app.test/", {
        cookies: `${visitor.cookiesFor("https://app.test/")}; __HOST-sallyport-1=x; a=1`,
      }),
    );
    assert.ok(![...fields.values()].some((value) => /__host-sallyport/i.test(value)), String([...fields]));
  });

  it("is over when somebody signs out, which no other site can do for them", async () => {
    const visitor = browser();
    await signIn(visitor, "https://app.test/");
    const cookie = visitor.cookiesFor("https://app.test/");
    const url = "https://app.test/.well-known/sallyport/sign-out";
    assert.equal((await visitor.open(url)).status, 200);
    assert.equal((await visitor.ask("https://app.test/")).status, 200, "a link alone does nothing");
    const forgedOut = await visitor.open(url, { method: "POST", headers: { Origin: "https://evil.test" } });
    assert.equal(forgedOut.status, 403);
    const out = await visitor.open(url, { method: "POST", headers: { Origin: "https://app.test" } });
    assert.equal(out.status, 200);
    assert.equal(visitor.cookiesFor("https://app.test/"), "");
    assert.equal((await visitor.ask("https://app.test/", { cookies: cookie })).status, 401, "a copy neither");
  });

  it("is over, with what is under way, when its holder is denied", async () => {
    const visitor = browser();
    await signIn(visitor, "https://app.test/", { sub: "mallory", email: "mallory@example.com" });
    const cookie = visitor.cookiesFor("https://app.test/");
    const socket = await dial(site, router.port, "app.test", { as: null, ALPNProtocols: ["http/1.1"] });
    socket.write(`GET /endless HTTP/1.1\r\nHost: app.test\r\nCookie: ${cookie}\r\n\r\n`);
    const all = readAll(socket);
    await new Promise((next) => socket.once("data", next));
    writeFileSync(denied, `${createHash("sha256").update("staff:mallory").digest("hex")} # mallory\n`);
    assert.match((await all).toString(), /^HTTP\/1\.1 200 [\s\S]*begun/);
    assert.equal((await visitor.ask("https://app.test/")).status, 401);
    const again = await signIn(browser(), "https://app.test/", { sub: "mallory" });
    assert.equal(again.status, 403);
    assert.equal((await recorded(({ reason }) => reason === "client_cert_revoked")).voucher, "staff:mallory");
    const record = await router.record(({ reason }) => reason === "client_cert_expired");
    assert.equal(record.identity?.subject, "CN=mallory@example.com,OU=payments");
    writeFileSync(denied, "");
  });
});

/** All that comes for a request to open a WebSocket, until a little after its head. */
async function webSocket(name: string, fields: string): Promise<string> {
  const socket = await dial(site, router.port, name, { as: null, ALPNProtocols: ["http/1.1"] });
  socket.write(
    `GET /ws HTTP/1.1\r\nHost: ${name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${fields}\r\n`,
  );
  let said = "";
  await new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.endsWith("hello") || said.endsWith("}\n")) resolve();
    });
    socket.once("close", resolve);
  });
  socket.destroy();
  return said;
}

describe("a login", () => {
  it("that another browser began, or nobody, is refused", async () => {
    const mallory = browser();
    const query = asked(await mallory.open("https://app.test/"));
    await vouch(query, { sub: "mallory" });
    const victim = browser();
    const answer = await comeBack(victim, back(query));
    assert.equal(answer.status, 401);
    assert.match(answer.body, /this browser did not begin that login/);
    assert.equal(victim.jar.get("app.test")?.has(session), false);
    // With a login of its own under way too.
    const own = asked(await victim.open("https://app.test/"));
    assert.notEqual(own.get("state"), query.get("state"));
    assert.equal((await comeBack(victim, back(query))).status, 401);
    for (const state of [
      "",
      "x",
      "a.b.c.d.e",
      query.get("state")?.replace(/.(?=.{9}$)/, (c) => (c === "A" ? "B" : "A")) ?? "",
    ]) {
      const url = `https://app.test/.well-known/sallyport/callback?${new URLSearchParams({ code: "c", state })}`;
      assert.equal((await victim.open(url)).status, 400, state);
      assert.equal((await victim.open(url.replace("app.test", "gate.test"))).status, 400, state);
    }
    assert.equal((await victim.open("https://app.test/.well-known/sallyport/callback?code=c")).status, 400);
    assert.equal((await recorded(({ detail }) => /did not begin/.test(detail ?? ""))).outcome, "refused");
  });

  it("comes back once", async () => {
    const visitor = browser();
    const query = asked(await visitor.open("https://app.test/"));
    const cookies = visitor.cookiesFor("https://app.test/");
    await vouch(query);
    const url = back(query).replace("gate.test", "app.test");
    assert.equal((await visitor.open(url)).status, 303);
    assert.equal((await visitor.open(url)).status, 401, "its cookie is gone");
    const kept = await visitor.open(url, { cookies });
    assert.equal(kept.status, 401);
    assert.match(kept.body, /came back before/);
  });

  it("needs the ID token that was asked for", async () => {
    const later = Math.floor(Date.now() / 1000) - 120;
    const wrong: readonly (readonly [string, Readonly<Record<string, unknown>>, ((t: string) => string)?])[] =
      [
        ["another nonce", { nonce: "other" }],
        ["no nonce", { nonce: undefined }],
        ["another audience", { aud: "somebody" }],
        ["another issuer", { iss: "https://elsewhere.test" }],
        ["too old", { exp: later, iat: later - 300 }],
        ["no signature", {}, (token) => forged(token, { alg: "none" }, () => "")],
        ["a signature by nobody", {}, (token) => token.replace(/.{8}$/, "AAAAAAAA")],
        ["HS256", {}, (token) => forged(token, { alg: "HS256" }, () => "AAAA")],
      ];
    for (const [what, claims, change] of wrong) {
      const visitor = browser();
      const query = asked(await visitor.open("https://app.test/"));
      await vouch(query, claims, change);
      const answer = await comeBack(visitor, back(query));
      assert.equal(answer.status, 401, what);
      assert.equal(visitor.jar.get("app.test")?.size, 0, what);
    }
  });

  it("is for those whom the route admits, with an email that is theirs", async () => {
    const groups = await signIn(browser(), "https://other.test/", { groups: ["payments"] });
    assert.equal(groups.status, 403);
    assert.match(groups.body, /no allow rule of route other admits/);
    assert.equal((await signIn(browser(), "https://app.test/", { email_verified: false })).status, 403);
    const many = Array.from({ length: 64 }, (_, i) => `${"g".repeat(60)}${i}`);
    const tooMany = await signIn(browser(), "https://one.nodes.test/", { groups: many });
    assert.equal(tooMany.status, 403);
    assert.match(tooMany.body, /more groups than a cookie can hold/);
    const refused = await recorded(
      ({ route, reason }) => route === "other" && reason === "identity_not_allowed",
    );
    assert.equal(refused.voucher, "staff:user-1");
  });

  it("that the provider refuses says so", async () => {
    const visitor = browser();
    const query = asked(await visitor.open("https://app.test/"));
    const url = back(query).replace("code=c", "error=access_denied&error_description=%3Cb%3Enot+today");
    const answer = await comeBack(visitor, url);
    assert.equal(answer.status, 403);
    assert.match(answer.body, /access_denied: &#60;b&#62;not today/);
    issuer.documents["/token"] = 500;
    const second = asked(await visitor.open("https://app.test/"));
    assert.equal((await comeBack(visitor, back(second))).status, 401);
  });
});

describe("the router's own pages", () => {
  it("are open to all, and know who signs in", async () => {
    const visitor = browser();
    assert.match((await visitor.open("https://gate.test/")).body, /without a client certificate/);
    assert.equal((await visitor.ask("https://gate.test/v1/whoami")).status, 401);
    assert.equal((await visitor.ask("https://gate.test/healthz")).status, 200);
    const done = await signIn(visitor, "https://gate.test/.well-known/sallyport/sign-in");
    assert.equal(done.field("location"), "https://gate.test/");
    assert.match((await visitor.open("https://gate.test/")).body, /CN=alice@example.com,OU=payments/);
    const who = JSON.parse((await visitor.ask("https://gate.test/v1/whoami")).body);
    assert.deepEqual(who.groups, ["payments"]);
    assert.equal(who.fingerprint, null);
    const { routes } = JSON.parse((await visitor.ask("https://gate.test/v1/routes")).body);
    assert.deepEqual(
      routes.map(({ name }: { name: string }) => name),
      ["app", "nodes"],
    );
    // Whoever comes without a session is no reason for a record of a refusal.
    const records = router
      .records()
      .filter(({ event, sni }) => event === "connection" && sni === "gate.test");
    assert.deepEqual(
      records.filter(({ outcome }) => outcome !== "served"),
      [],
    );
  });

  it("show the status page to whom SALLYPORT_ADMIN_ALLOW admits, until they sign out", async () => {
    const [visitor, other] = [browser(), browser()];
    const enter = "https://gate.test/.well-known/sallyport/sign-in";
    await signIn(other, enter, { groups: ["payments"] });
    assert.equal((await other.ask("https://gate.test/status/events")).status, 403);
    await signIn(visitor, enter, { groups: ["operators"] });
    assert.match((await visitor.open("https://gate.test/")).body, /<body class="status">/);
    const events = visitor.ask("https://gate.test/status/events");
    const headers = { Origin: "https://gate.test" };
    const leave = "https://gate.test/.well-known/sallyport/sign-out";
    assert.equal((await visitor.open(leave, { method: "POST", headers })).status, 200);
    const { status, body } = await events;
    assert.equal(status, 200);
    assert.match(body, /^event: part$/m);
  });

  it("end the status page's events with the session", async () => {
    const visitor = browser();
    await signIn(visitor, "https://gate.test/.well-known/sallyport/sign-in", {
      groups: ["operators"],
      exp: Math.floor(Date.now() / 1000) + 3,
    });
    assert.equal((await visitor.ask("https://gate.test/status/events")).status, 200);
    assert.equal((await visitor.ask("https://gate.test/status/events")).status, 401);
  });

  it("send a browser on to names of routes alone", async () => {
    const query = asked(await browser().open("https://app.test/"));
    const passed = await browser().open(`${back(query)}&x=y&location=https://evil.test`);
    const url = new URL(passed.field("location"));
    assert.equal(`${url.origin}${url.pathname}`, "https://app.test/.well-known/sallyport/callback");
    assert.deepEqual([...url.searchParams.keys()], ["code", "state"]);
    assert.equal(passed.field("referrer-policy"), "same-origin");
    assert.equal(passed.field("cache-control"), "no-store");
  });
});

describe("what is read anew", () => {
  it("may have browsers sign in where nobody did, and ends sessions whose key is gone", async () => {
    const [routes, key] = [join(site.folder, "routes"), join(site.folder, "jwt.key")];
    const newKey = async (): Promise<void> =>
      writeFileSync(
        key,
        await exportPKCS8((await generateKeyPair("ES256", { extractable: true })).privateKey),
      );
    writeFileSync(routes, "");
    await newKey();
    const own = await startRouter(site, {
      SALLYPORT_HOST: "gate.test",
      SALLYPORT_HOST_LOGIN: "oidc",
      SALLYPORT_JWT_KEY: key,
      SALLYPORT_ROUTES_FILE: routes,
      SALLYPORT_OIDC_STAFF: `${issuer.issuer}?client_id=sallyport&group={groups}&email={email}`,
    });
    const reloads = (): number => own.errors().split('"the configuration was read anew"').length;
    const reload = async (): Promise<void> => {
      const before = reloads();
      own.process.kill("SIGHUP");
      for (let i = 0; i < 2400 && reloads() === before; i++)
        await new Promise((next) => setTimeout(next, 25));
      assert.ok(reloads() > before, own.errors());
    };
    try {
      const visitor = new WebBrowser(site, () => own.port, "HTTP/1.1");
      writeFileSync(
        routes,
        `APP=http://127.0.0.1:${upstream.port}?sni=app.test&client=none&login=oidc&allow=group:payments\n`,
      );
      await reload();
      assert.equal((await signIn(visitor, "https://app.test/")).field("location"), "https://app.test/");
      assert.equal((await visitor.ask("https://app.test/")).status, 200);
      await newKey();
      await reload();
      assert.equal((await visitor.ask("https://app.test/")).status, 401);
    } finally {
      await own.stop();
    }
  });
});
