import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { resolve } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { parseAllDocuments } from "yaml";
import type { RequestRecord } from "../../src/core/record.ts";
import { acceptText } from "../../src/wire/websocket.ts";
import { dial, readAll } from "../support/client.ts";
import { RawUpstream, requestsIn } from "../support/http-front.ts";
import { make, root } from "../support/pki.ts";
import { freePort } from "../support/ports.ts";
import { missing, program } from "../support/programs.ts";
import {
  createSite,
  environment,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { run } from "../support/run.ts";

const names = ["kube", "as", "own", "file", "open", "down", "odd", "mapped", "idle"].map(
  (name) => `${name}.test`,
);
const path = "/api/v1/namespaces/default/pods/web-0";

let site: Site;
let router: TestRouter;
let api: RawUpstream;
/** What the API server says next, in the place of an empty object. */
let answer: string | null = null;
/** The lines of each request that came to it since the test began. */
let heard: string[][] = [];
/** Watches that nobody has said anything on. */
const watching: (() => void)[] = [];

const acceptOf = (key: string): string => createHash("sha1").update(acceptText(key)).digest("base64");
const object =
  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nAudit-Id: a-1\r\nContent-Length: 2\r\n\r\n{}";

before(async () => {
  site = await createSite(names);
  const { authority } = site;
  site.save("bob", await authority.client({ commonName: "bob", groups: ["payments", "ops"] }, 86_400_000));
  site.save("nobody", await authority.client({ commonName: "nobody" }, 86_400_000));
  site.save("any", await authority.server(["*.example.com", "*.kube.example.com"], 86_400_000));
  const odd = await root({ subject: "CN=Odd" });
  writeFileSync(`${site.folder}/odd-ca.crt`, odd.cert);
  for (const [name, subject] of [
    ["accented", "CN=voilà,OU=équipe"],
    ["masters", "CN=mallory,OU=system:masters"],
    ["admin", "CN=system:admin"],
    ["cased", "CN=mallory,OU=SYSTEM:masters"],
    ["spaced", "CN=\\ admin"],
    ["hidden", "CN=adm\u200bin"],
  ] as const)
    site.save(name, await make({ issuer: odd, subject }));
  writeFileSync(`${site.folder}/token`, "first\n");
  const answered = new Map<unknown, number>();
  api = await RawUpstream.start((socket, soFar) => {
    const heads = requestsIn(soFar);
    for (const { head } of heads.slice(answered.get(socket) ?? 0)) {
      heard.push(head.split("\r\n"));
      if (/[?&]watch=true/.test(head)) {
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        watching.push(() => socket.write("6\r\nevent\n\r\n0\r\n\r\n"));
      } else if (/^upgrade: /im.test(head)) {
        const [, protocol = ""] = /^upgrade: (.*)$/im.exec(head) ?? [];
        const [, key = ""] = /^sec-websocket-key: (.*)$/im.exec(head) ?? [];
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\nhello`,
        );
        socket.end();
      } else socket.write(answer ?? object);
    }
    answered.set(socket, heads.length);
  });
  const upstream = `127.0.0.1:${api.port}`;
  const down = await freePort();
  router = await startRouter(site, {
    SALLYPORT_HALF_CLOSE_TIMEOUT: "1s",
    SALLYPORT_ROUTE_KUBE: `kubernetes://${upstream}?sni=kube.test&upstream_tls=off&upstream_token=\${TOKEN}`,
    TOKEN: "tok.en-1",
    SALLYPORT_ROUTE_AS: `kubernetes://${upstream}?sni=as.test&upstream_tls=off&upstream_token=t&kube_as=user:deploy,group:ops,group:{group}&kube_as=user:*-bot&kube_as=user:system:serviceaccount:dev:*`,
    SALLYPORT_ROUTE_OWN: `kubernetes://${upstream}?sni=own.test&upstream_tls=off&client=none`,
    SALLYPORT_ROUTE_FILE: `kubernetes://${upstream}?sni=file.test&upstream_tls=off&upstream_token_file=${site.folder}/token`,
    SALLYPORT_ROUTE_OPEN: `kubernetes://${upstream}?sni=open.test&upstream_tls=off&upstream_token=t&client=optional`,
    SALLYPORT_ROUTE_DOWN: `kubernetes://127.0.0.1:${down}?sni=down.test&upstream_tls=off&upstream_token=t&allow=cn:bob`,
    SALLYPORT_ROUTE_ODD: `kubernetes://${upstream}?sni=odd.test&upstream_tls=off&upstream_token=t&client_ca=${site.folder}/odd-ca.crt`,
    SALLYPORT_ROUTE_MAPPED: `kubernetes://${upstream}?sni=mapped.test&upstream_tls=off&upstream_token=t&kube_user=staff:{cn}&kube_groups=system:authenticated,team:{group}&kube_uid={cn}-1&kube_extra=example.com/team={group}`,
    SALLYPORT_ROUTE_IDLE: `kubernetes://${upstream}?sni=idle.test&upstream_tls=off&upstream_token=t&idle_timeout=1s&answer_timeout=20s`,
  });
});
after(async () => {
  await router?.stop();
  api?.close();
  site?.remove();
});
beforeEach(() => {
  answer = null;
  heard = [];
});

interface Asking {
  readonly name?: string;
  readonly as?: string | null;
  readonly method?: string;
  readonly target?: string;
  readonly fields?: readonly string[];
}

/** A request in HTTP/1.1, byte by byte. */
async function http1({
  name = "kube.test",
  as = "bob",
  method = "GET",
  target = path,
  fields = [],
}: Asking): Promise<string> {
  const socket = await dial(site, router.port, name, { as, ALPNProtocols: ["http/1.1"] });
  socket.write(
    `${[`${method} ${target} HTTP/1.1`, "Host: kube.example.com:6443", "Connection: close", ...fields].join("\r\n")}\r\n\r\n`,
  );
  socket.once("end", () => socket.end());
  return (await readAll(socket)).toString();
}

/** The same in HTTP/2. */
async function http2({
  name = "kube.test",
  as = "bob",
  method = "GET",
  target = path,
  fields = [],
}: Asking): Promise<string> {
  const pair = as === null ? [] : ["--cert", `${site.folder}/${as}.crt`, "--key", `${site.folder}/${as}.key`];
  const { out, err } = await run(program("curl"), [
    "-sSi",
    "--http2",
    "--path-as-is",
    "--max-time",
    "20",
    "-X",
    method,
    "--cacert",
    `${site.folder}/ca.crt`,
    ...pair,
    "--connect-to",
    `::127.0.0.1:${router.port}`,
    ...fields.flatMap((field) => ["-H", field]),
    `https://${name}${target}`,
  ]);
  return `${out}${err}`;
}

const versions = [
  ["HTTP/1.1", http1, false],
  ["HTTP/2", http2, missing("curl")],
] as const;
/** A record without what chains the lines of a file. */
const unchained = (record: object): RequestRecord => {
  const { seq: _seq, chain: _chain, ...rest } = record as RequestRecord & { seq: number; chain: string };
  return rest;
};
const requests = (): RequestRecord[] =>
  (router.records() as unknown as RequestRecord[])
    .filter(({ event }) => event.startsWith("request"))
    .map(unchained);
const fieldsLike = (lines: readonly string[] | undefined, name: RegExp): string[] =>
  (lines ?? [])
    .filter((line) => name.test(line))
    .map((line) => line.replace(/^[^:]*/, (field) => field.toLowerCase()));

for (const [version, ask, skip] of versions)
  describe(`a kubernetes route, ${version}`, { skip }, () => {
    it("asks the API server to act as the certificate's holder, each group in a field of its own", async () => {
      assert.match(await ask({}), / 200/);
      const [lines] = heard;
      assert.deepEqual(fieldsLike(lines, /^(impersonate|authorization)/i), [
        "authorization: Bearer tok.en-1",
        "impersonate-user: bob",
        "impersonate-group: payments",
        "impersonate-group: ops",
      ]);
      assert.match(lines?.join("\n") ?? "", new RegExp(`^host: 127.0.0.1:${api.port}$`, "im"));
    });

    it("sends nothing by which the client could be somebody else", async () => {
      const spoofed = [
        "Authorization: Bearer spoofed",
        "AUTHORIZATION: Basic spoofed",
        "Cookie: session=spoofed",
        "X-Remote-User: spoofed",
        "X-Remote-Group: spoofed",
        "x_remote_user: spoofed",
        "X-REMOTE-EXTRA-scopes: spoofed",
        "Sec-WebSocket-Protocol: v4.channel.k8s.io, Base64URL.bearer.authorization.k8s.io.c3Bvb2ZlZA",
        "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.spoofed",
        "X-Forwarded-For: spoofed",
      ];
      const target = `${path}?access_token=spoofed&access%5Ftoken=spoofed&a=1;ACCESS_TOKEN=spoofed&timeout=1s`;
      assert.match(await ask({ target, fields: spoofed }), / 200/);
      const [lines = []] = heard;
      assert.ok(!/spoofed|c3Bvb2ZlZA/.test(lines.join("\n")), lines.join("\n"));
      assert.ok(lines[0]?.includes(`${path}?timeout=1s `), lines.join("\n"));
      assert.deepEqual(fieldsLike(lines, /^sec-websocket-protocol/i), [
        "sec-websocket-protocol: v4.channel.k8s.io",
      ]);
    });

    it("lets nobody act as somebody else, however it is written", async () => {
      for (const fields of [
        ["Impersonate-User: admin"],
        ["iMPERSONATE-uSER: admin"],
        ["Impersonate_User: admin"],
        ["Impersonate-Group: system:masters"],
        ["Impersonate-Uid: 0"],
        ["Impersonate-Extra-Scopes: all"],
        ["Impersonate-User: bob", "Impersonate-User: admin"],
      ]) {
        const said = await ask({ fields });
        assert.match(said, / 403/, fields.join());
        assert.match(said, /"kind":"Status".*"reason":"Forbidden"/, fields.join());
      }
      assert.deepEqual(heard, []);
    });

    it("may act as whom kube_as gives, in those groups, and as nobody else", async () => {
      const as = (...fields: string[]) => ask({ name: "as.test", fields });
      assert.match(
        await as("Impersonate-User: deploy", "Impersonate-Group: ops", "Impersonate-Group: payments"),
        / 200/,
      );
      assert.match(await as("Impersonate-User: ci-bot"), / 200/);
      assert.match(await as("Impersonate-User: system:serviceaccount:dev:builder"), / 200/);
      assert.deepEqual(
        heard.map((lines) => fieldsLike(lines, /^impersonate/i)),
        [
          ["impersonate-user: deploy", "impersonate-group: ops", "impersonate-group: payments"],
          ["impersonate-user: ci-bot"],
          ["impersonate-user: system:serviceaccount:dev:builder"],
        ],
      );
      for (const fields of [
        ["Impersonate-User: admin"],
        ["Impersonate-User: deploy", "Impersonate-Group: admins"],
        ["Impersonate-User: ci-bot", "Impersonate-Group: ops"],
        ["Impersonate-User: system:admin-bot"],
        ["Impersonate-User: deploy", "Impersonate-User: admin"],
        ["Impersonate-User: deploy", "Impersonate-Extra-Scopes: all"],
        ["Impersonate-User: deploy", "Impersonate_Group: system:masters"],
        ["Impersonate-Group: ops"],
      ])
        assert.match(await as(...fields), / 403/, fields.join());
      assert.equal(heard.length, 3);
    });

    it("lets the pages of apps ask apps, and neither the API nor a node", async () => {
      const fields = ["Sec-Fetch-Site: same-origin"];
      for (const target of [
        "/api/v1/namespaces/default/secrets",
        "/api/v1/nodes/node-1/proxy/run/default/web-0/web?cmd=id",
        "/version",
      ])
        assert.match(await ask({ target, fields }), / 403[\s\S]*source_not_allowed/, target);
      assert.deepEqual(heard, []);
      assert.match(await ask({ target: "/version", fields: ["Sec-Fetch-Site: none"] }), / 200/);
      const app = "/api/v1/namespaces/default/services/web/proxy/api/items";
      assert.match(await ask({ target: app, fields }), / 200/);
    });

    it("refuses paths that the API server might read in another way", async () => {
      for (const target of [
        "/api/v1/namespaces/default/pods/..%2f..%2fsecrets",
        "/api/v1/namespaces/default/pods/web-0%2fexec",
        "/api/v1/namespaces/default/../kube-system/secrets",
        "/api/v1/namespaces/default/pods/%2e%2e/secrets",
        "/api//v1/secrets",
        "/api/v1/namespaces/default/pods/a%5cb",
        "/api/v1/namespaces/default/services/web/proxy/..%2f..%2f..%2fsecrets",
        "/api/v1/namespaces/default/services/web/%70roxy/..",
        "/api/v1/namespaces/default/pods/%00",
      ])
        assert.match(await ask({ target }), / 400[\s\S]*"kind":"Status"/, target);
      assert.deepEqual(heard, []);
    });

    it("writes a record of each request, with its words", async () => {
      const from = router.now();
      await ask({
        method: "DELETE",
        target: "/apis/apps/v1/namespaces/shop/deployments/web/scale?dryRun=All",
      });
      const found = await router.record((one) => "verb" in one && one.verb === "delete", from);
      const { time: _time, id, duration_ms: _ms, ...rest } = unchained(found);
      assert.deepEqual(rest, {
        event: "request",
        outcome: "served",
        reason: "ok",
        route: "kube",
        adapter: "kubernetes",
        subject: "CN=bob,OU=ops,OU=payments",
        user: "bob",
        groups: ["payments", "ops"],
        asked: false,
        verb: "delete",
        group: "apps",
        resource: "deployments",
        subresource: "scale",
        namespace: "shop",
        name: "web",
        path: "/apis/apps/v1/namespaces/shop/deployments/web/scale",
        status: 200,
        audit_id: "a-1",
        detail: null,
      });
      await router.record((record) => record.id === id && record.event === "connection");
    });

    it("never says of a credential of the router's that it is the client's", async () => {
      answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}";
      const said = await ask({});
      assert.match(said, / 503/);
      assert.match(said, /"reason":"ServiceUnavailable"/);
      assert.match(said, /credential of route kube \(401\)/);
      // Where clients show their own, it is theirs.
      assert.match(
        await ask({ name: "own.test", as: null, fields: ["Authorization: Bearer theirs"] }),
        / 401/,
      );
      assert.deepEqual(fieldsLike(heard.at(-1), /^(impersonate|authorization)/i), [
        "authorization: Bearer theirs",
      ]);
      assert.match(await ask({ name: "own.test", as: null, fields: ["Impersonate-User: admin"] }), / 403/);
    });

    it("says in a Status why it refuses, and what is down", async () => {
      assert.match(
        await ask({ name: "open.test", as: null }),
        / 403[\s\S]*"kind":"Status".*client_cert_missing/,
      );
      assert.match(
        await ask({ name: "down.test", as: "nobody" }),
        / 403[\s\S]*"kind":"Status".*identity_not_allowed/,
      );
      assert.match(await ask({ name: "down.test" }), / 503[\s\S]*"kind":"Status".*upstream_unreachable/);
    });

    it("takes no name from a certificate that Kubernetes keeps for itself, or that would not stay itself", async () => {
      for (const as of ["masters", "admin", "cased", "spaced", "hidden"])
        assert.match(await ask({ name: "odd.test", as }), / 403[\s\S]*identity_not_allowed/, as);
      assert.deepEqual(heard, []);
      assert.match(await ask({ name: "odd.test", as: "accented" }), / 200/);
      const utf8 = (text: string): string => Buffer.from(text).toString("latin1");
      assert.deepEqual(fieldsLike(heard[0], /^impersonate/i), [
        `impersonate-user: ${utf8("voilà")}`,
        `impersonate-group: ${utf8("équipe")}`,
      ]);
    });

    it("maps as the route says", async () => {
      assert.match(await ask({ name: "mapped.test", as: "alice" }), / 200/);
      assert.deepEqual(fieldsLike(heard[0], /^impersonate/i), [
        "impersonate-user: staff:alice",
        "impersonate-group: system:authenticated",
        "impersonate-group: team:payments",
        "impersonate-uid: alice-1",
        "impersonate-extra-example.com%2fteam: payments",
      ]);
    });
  });

describe("a kubernetes route", () => {
  it("keeps its own words whatever the client calls hop by hop", async () => {
    const hop = "Connection: Impersonate-User, Impersonate-Group, Authorization";
    assert.match(await http1({ fields: [hop] }), / 200/);
    assert.deepEqual(fieldsLike(heard[0], /^(impersonate|authorization)/i), [
      "authorization: Bearer tok.en-1",
      "impersonate-user: bob",
      "impersonate-group: payments",
      "impersonate-group: ops",
    ]);
    assert.match(await http1({ fields: [hop, "Impersonate-User: admin"] }), / 403/);
  });

  it("passes no trailers", async () => {
    const socket = await dial(site, router.port, "kube.test", { as: "bob", ALPNProtocols: ["http/1.1"] });
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: kube\r\nConnection: close, te\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: Impersonate-User\r\n\r\n2\r\n{}\r\n0\r\nImpersonate-User: admin\r\nX-Remote-User: admin\r\n\r\n`,
    );
    assert.match((await readAll(socket)).toString(), / 200/);
    assert.ok(!api.seen.join("").includes("admin"), api.seen.join(""));
  });

  it("reads its token again when the file changes, and keeps the last where there is none", async () => {
    const bearer = async (): Promise<string | undefined> => {
      await http1({ name: "file.test" });
      return fieldsLike(heard.at(-1), /^authorization/i)[0];
    };
    assert.equal(await bearer(), "authorization: Bearer first");
    writeFileSync(`${site.folder}/token.new`, "second");
    renameSync(`${site.folder}/token.new`, `${site.folder}/token`);
    for (let i = 0; i < 600 && (await bearer()) !== "authorization: Bearer second"; i++)
      await new Promise((next) => setTimeout(next, 100));
    assert.equal(await bearer(), "authorization: Bearer second");
    writeFileSync(`${site.folder}/token`, "no token, but words\n");
    for (let i = 0; i < 1200 && !router.errors().includes("the token can't be read"); i++) {
      assert.equal(await bearer(), "authorization: Bearer second");
      await new Promise((next) => setTimeout(next, 50));
    }
    assert.match(router.errors(), /the token can't be read; what it last was still counts/);
    assert.doesNotMatch(router.errors(), /but words/);
  });

  it("bears with a watch that is silent for longer than connections may be idle", async () => {
    const socket = await dial(site, router.port, "idle.test", { as: "bob", ALPNProtocols: ["http/1.1"] });
    const watches = () => requests().filter(({ verb, resource }) => verb === "watch" && resource === "pods");
    const said = readAll(socket);
    socket.write(`GET /api/v1/pods?watch=true HTTP/1.1\r\nHost: kube\r\n\r\n`);
    await router.record(() => watches().length > 0);
    assert.deepEqual(
      watches().map(({ event, status }) => [event, status]),
      [["request_started", 200]],
    );
    // An idle connection, opened later, ends long before.
    const idle = await dial(site, router.port, "idle.test", { as: "bob", ALPNProtocols: ["http/1.1"] });
    idle.write(`GET ${path} HTTP/1.1\r\nHost: kube\r\n\r\n`);
    idle.once("end", () => idle.end());
    await readAll(idle);
    await router.record(({ route, reason }) => route === "idle" && reason === "idle_timeout");
    for (const speak of watching.splice(0)) speak();
    await router.record(() => watches().length > 1);
    assert.deepEqual(
      watches().map(({ event, reason, status }) => [event, reason, status]),
      [
        ["request_started", "ok", 200],
        ["request", "ok", 200],
      ],
    );
    socket.end();
    assert.match((await said).toString(), /event\n/);
  });

  it("ends a watch whose client is gone, though there is nothing to tell it", async () => {
    const from = router.now();
    const socket = await dial(site, router.port, "idle.test", { as: "bob", ALPNProtocols: ["http/1.1"] });
    socket.write("GET /api/v1/services?watch=true HTTP/1.1\r\nHost: kube\r\n\r\n");
    const watches = (one: object): boolean => "resource" in one && one.resource === "services";
    await router.record(watches, from);
    socket.end();
    const over = await router.record((one) => watches(one) && (one.event as string) === "request", from);
    assert.equal(over.reason, "client_closed");
  });

  it("holds a WebSocket over HTTP/2 to the same (RFC 8441)", async () => {
    const from = router.now();
    const socket = await dial(site, router.port, "kube.test", { as: "bob", ALPNProtocols: ["h2"] });
    const session = connectHttp2("https://kube.test", { createConnection: () => socket });
    await once(session, "remoteSettings");
    const exec = async (more: Record<string, string>): Promise<unknown> => {
      const stream = session.request(
        {
          ":method": "CONNECT",
          ":protocol": "websocket",
          ":scheme": "https",
          ":path": `${path}/exec?command=id&access_token=spoofed`,
          ":authority": "kube.test",
          "sec-websocket-version": "13",
          "sec-websocket-protocol": "base64url.bearer.authorization.k8s.io.spoofed, v5.channel.k8s.io",
          ...more,
        },
        { endStream: false },
      );
      const [head] = (await once(stream, "response")) as [Record<string, unknown>];
      stream.close();
      return head[":status"];
    };
    assert.equal(await exec({ "impersonate-user": "admin" }), 403);
    assert.deepEqual(heard, []);
    assert.equal(await exec({}), 200);
    assert.ok(!/spoofed/.test(heard.flat().join("\n")), heard.flat().join("\n"));
    assert.deepEqual(fieldsLike(heard[0], /^impersonate-user/i), ["impersonate-user: bob"]);
    const over: object = await router.record(
      (one) => "verb" in one && "status" in one && one.status === 101,
      from,
    );
    const { verb, subresource, user } = over as RequestRecord;
    assert.deepEqual([verb, subresource, user], ["get", "exec", "bob"]);
    session.destroy();
  });

  it("records a session in a container when it begins and when it is over", async () => {
    const target = "/api/v1/namespaces/default/pods/web-0/exec?command=id&stdout=true";
    const socket = await dial(site, router.port, "kube.test", { as: "bob", ALPNProtocols: ["http/1.1"] });
    socket.write(
      `POST ${target} HTTP/1.1\r\nHost: kube\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n`,
    );
    socket.once("end", () => socket.end());
    assert.match((await readAll(socket)).toString(), /^HTTP\/1\.1 101 [\s\S]*hello$/);
    const sessions = () =>
      requests().filter(({ verb, subresource }) => verb === "create" && subresource === "exec");
    await router.record(() => sessions().length >= 2);
    assert.deepEqual(
      sessions().map(({ event, verb, subresource, status, reason }) => [
        event,
        verb,
        subresource,
        status,
        reason,
      ]),
      [
        ["request_started", "create", "exec", 101, "ok"],
        ["request", "create", "exec", 101, "ok"],
      ],
    );
  });
});

describe("docs/kubernetes.md", () => {
  const text = readFileSync("docs/kubernetes.md", "utf8");
  const blocks = (language: string): string[] =>
    [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(
      ([, block = ""]) => block,
    );

  it("has routes that the router takes, and their tokens in no output", {
    skip: missing("bash"),
  }, async () => {
    const there = `${site.folder}/docs`;
    mkdirSync(there);
    copyFileSync(`${site.folder}/ca.crt`, `${there}/cluster-ca.crt`);
    writeFileSync(`${there}/sallyport.token`, "to.ken\n");
    const command = sallyport
      .map((word) => `'${/^(dist|src)\//.test(word) ? resolve(word) : word}'`)
      .join(" ");
    const script = blocks("sh")
      .join("\n")
      .replaceAll(/^sallyport /gm, `${command} `);
    const { status, out, err } = await run("bash", ["-euc", script], {
      cwd: there,
      env: environment({
        SALLYPORT_CERT: `${site.folder}/any.crt`,
        SALLYPORT_KEY: `${site.folder}/any.key`,
        SALLYPORT_CLIENT_CA: `${site.folder}/ca.crt`,
      }),
    });
    assert.equal(status, 0, err);
    assert.match(out, /^prod +kubernetes +kube\.example\.com/m);
    assert.match(out, /^ops +kubernetes +ops\.kube\.example\.com/m);
    assert.doesNotMatch(out + err, /to\.ken/);
  });

  it("has a role that gives what is sent, and nothing else", () => {
    const [role] = blocks("yaml").flatMap((block) => parseAllDocuments(block).map((one) => one.toJS()));
    const rules = role.rules as { apiGroups: string[]; resources: string[]; verbs: string[] }[];
    assert.deepEqual(
      rules.flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((one) => verbs.map((verb) => `${verb} ${group}/${one}`)),
        ),
      ),
      [
        "impersonate /users",
        "impersonate /groups",
        "impersonate authentication.k8s.io/uids",
        "impersonate authentication.k8s.io/userextras/example.com/team",
      ],
    );
  });

  it("shows records as they are", async () => {
    await http1({});
    const [example = ""] = blocks("json");
    await router.record(({ event }) => (event as string) === "request");
    const record = requests().find(({ event }) => event === "request");
    assert.deepEqual(Object.keys(JSON.parse(example)), Object.keys(record ?? {}));
  });
});
