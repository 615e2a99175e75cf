import "reflect-metadata";
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { SubjectAlternativeNameExtension } from "@peculiar/x509";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { ExtendedKeyUsage, make, root } from "../support/pki.ts";
import { missing, program } from "../support/programs.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { httpUpstream, type Upstream } from "../support/upstreams.ts";

const names = ["localhost", "app.test", "open.test", "dead.test"];
const block = Buffer.alloc(1 << 20, 0x61);
let site: Site;
let router: TestRouter;
let upstream: Upstream;

/** What the upstream saw goes back as JSON; some paths do something else. */
async function startUpstream(): Promise<Upstream> {
  return httpUpstream(
    (request, response) => {
      if (request.url === "/down") {
        response.writeHead(200, { "content-length": String(64 * block.length) });
        let left = 64;
        const push = (): void => {
          while (left-- > 0) if (!response.write(block)) return void response.once("drain", push);
          response.end();
        };
        push();
        return;
      }
      if (request.url === "/cut") {
        response.writeHead(200, { "content-length": "1000" });
        response.write("half of it");
        setTimeout(() => response.destroy(), 100);
        return;
      }
      if (request.url === "/never") return;
      if (request.url === "/slow") {
        setTimeout(() => response.end("slow"), 700);
        return;
      }
      const hash = createHash("sha256");
      let length = 0;
      request.on("data", (chunk: Buffer) => {
        hash.update(chunk);
        length += chunk.length;
      });
      request.on("end", () => {
        response.setHeader("connection", "x-hop");
        response.setHeader("x-hop", "for this hop only");
        response.setHeader("set-cookie", ["a=1", "b=2"]);
        response.end(
          JSON.stringify({
            method: request.method,
            url: request.url,
            raw: request.rawHeaders,
            length,
            sha256: hash.digest("hex"),
          }),
        );
      });
    },
    (request, socket) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${request.headers.upgrade}\r\nConnection: Upgrade\r\n\r\n`,
      );
      socket.write("first word;");
      socket.on("data", (chunk) => socket.write(chunk));
      socket.on("end", () => socket.end());
    },
  );
}

/** One more certificate for `app.test`, which names the router by a URI. */
async function certificateWithUri(folder: string): Promise<string> {
  const issuer = await root({ subject: "CN=Web" });
  const { cert, key } = await make({
    subject: "CN=app.test",
    issuer,
    purposes: [ExtendedKeyUsage.serverAuth],
    more: [
      new SubjectAlternativeNameExtension([
        { type: "dns", value: "app.test" },
        { type: "url", value: "spiffe://example.com/router" },
      ]),
    ],
  });
  appendFileSync(`${folder}/ca.crt`, `\n${issuer.cert}`);
  const more = `${folder}/more`;
  mkdirSync(more);
  writeFileSync(`${more}/app.crt`, cert);
  writeFileSync(`${more}/app.key`, key, { mode: 0o600 });
  return more;
}

before(async () => {
  site = await createSite(names);
  upstream = await startUpstream();
  router = await startRouter(site, {
    SALLYPORT_HOST: "localhost",
    SALLYPORT_CERT_DIR: await certificateWithUri(site.folder),
    SALLYPORT_HALF_CLOSE_TIMEOUT: "3s",
    SALLYPORT_ROUTE_APP: `http://127.0.0.1:${upstream.port}?sni=app.test&allow=group:payments`,
    SALLYPORT_ROUTE_OPEN: `http://127.0.0.1:${upstream.port}?sni=open.test&client=none`,
    SALLYPORT_ROUTE_DEAD: "http://127.0.0.1:1?sni=dead.test&client=none",
  });
});
after(async () => {
  await router?.stop();
  upstream?.close();
  site?.remove();
});

const curl = (
  name: string,
  path: string,
  more: readonly string[] = [],
  as: string | null = "alice",
): Promise<Finished> =>
  run(
    program("curl"),
    [
      "--silent",
      "--show-error",
      "--max-time",
      "60",
      "--cacert",
      `${site.folder}/ca.crt`,
      ...(as === null ? [] : ["--cert", `${site.folder}/${as}.crt`, "--key", `${site.folder}/${as}.key`]),
      "--connect-to",
      `::127.0.0.1:${router.port}`,
      ...more,
      `https://${name}${path}`,
    ],
    { ms: 60_000 },
  );

const fieldsOf = (seen: { raw: string[] }): [string, string][] =>
  seen.raw.flatMap((name, i): [string, string][] =>
    i % 2 === 0 ? [[name.toLowerCase(), seen.raw[i + 1] ?? ""]] : [],
  );

describe("an http route", { skip: missing("curl") }, () => {
  for (const version of ["--http1.1", "--http2"]) {
    it(`serves curl ${version}, in its own name`, async () => {
      const { out, status } = await curl("app.test", "/path?q=1", [
        version,
        "--write-out",
        "\n%{http_version}",
      ]);
      assert.equal(status, 0);
      const [body = "", spoken] = out.split("\n");
      assert.equal(spoken, version === "--http2" ? "2" : "1.1");
      const seen = JSON.parse(body);
      assert.equal(seen.url, "/path?q=1");
      const fields = fieldsOf(seen);
      const value = (name: string): string[] =>
        fields.filter(([key]) => key === name).map(([, text]) => text);
      assert.deepEqual(value("host"), ["app.test"]);
      assert.deepEqual(value("x-forwarded-for"), ["127.0.0.1"]);
      assert.deepEqual(value("x-forwarded-proto"), ["https"]);
      assert.deepEqual(value("forwarded"), ["for=127.0.0.1;host=app.test;proto=https"]);
      const { fingerprint256, subject } = new X509Certificate(readFileSync(`${site.folder}/alice.crt`));
      const [told = "", ...more] = value("x-forwarded-client-cert");
      assert.deepEqual(more, []);
      const hash = fingerprint256.replaceAll(":", "").toLowerCase();
      assert.ok(told.startsWith(`By=spiffe://example.com/router;Hash=${hash};Subject="`), told);
      for (const part of subject.split("\n")) assert.ok(told.includes(part), told);
    });

    it(`drops what a client says of itself, ${version}`, async () => {
      const spoofed = [
        "X-Forwarded-For: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X_Forwarded_For: 6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        "Sallyport-Identity: root",
        "X-Forwarded-Client-Cert: root",
      ];
      const { out } = await curl("app.test", "/", [
        version,
        ...spoofed.flatMap((header) => ["--header", header]),
      ]);
      const text = JSON.stringify(fieldsOf(JSON.parse(out)));
      assert.ok(!text.includes("6.6.6.6") && !text.includes("root"), text);
    });

    it(`names no certificate where there is none, whatever the client says, ${version}`, async () => {
      const spoofed = ["X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-FORWARDED_CLIENT-CERT"];
      const { out } = await curl(
        "open.test",
        "/",
        [
          version,
          ...[...spoofed, ...spoofed].flatMap((name) => ["--header", `${name}: Hash=00;Subject="CN=root"`]),
        ],
        null,
      );
      const names = fieldsOf(JSON.parse(out)).map(([name]) => name.replaceAll("_", "-"));
      assert.ok(names.includes("x-forwarded-for") && !names.includes("x-forwarded-client-cert"), out);
    });

    it(`streams 64 MiB up and down, ${version}`, async () => {
      const path = `${site.folder}/upload`;
      const data = Buffer.alloc(64 << 20, 0x62);
      writeFileSync(path, data);
      const up = await curl("app.test", "/up", [version, "--data-binary", `@${path}`, "--header", "Expect:"]);
      const seen = JSON.parse(up.out);
      assert.equal(seen.length, data.length);
      assert.equal(seen.sha256, createHash("sha256").update(data).digest("hex"));
      const down = await curl("app.test", "/down", [
        version,
        "--output",
        `${path}.down`,
        "--write-out",
        "%{size_download}",
      ]);
      assert.equal(Number(down.out), 64 << 20);
    });

    it(`says why it refuses, ${version}`, async () => {
      const from = router.now();
      const { out } = await curl("app.test", "/", [version, "--write-out", "\n%{http_code}"], null);
      const [body = "", code] = out.trim().split(/\n(?=\d+$)/);
      assert.equal(code, "403");
      assert.equal(JSON.parse(body).error.reason, "client_cert_missing");
      await router.record((one) => one.reason === "client_cert_missing" && one.outcome === "refused", from);
    });

    it(`does not let a broken response look complete, ${version}`, async () => {
      const { status } = await curl("app.test", "/cut", [version]);
      assert.notEqual(status, 0);
    });

    it(`answers 502 for an upstream that is down, ${version}`, async () => {
      const from = router.now();
      const { out } = await curl("dead.test", "/", [version, "--write-out", "\n%{http_code}"], null);
      assert.match(out, /upstream_unreachable[\s\S]*502$/);
      await router.record(
        (one) => one.route === "dead" && one.reason === "upstream_unreachable" && one.outcome === "failed",
        from,
      );
    });

    it(`refuses a request for another name on this connection, ${version}`, async () => {
      const { out } = await curl(
        "open.test",
        "/",
        [version, "--header", "Host: app.test", "--write-out", "\n%{http_code}"],
        null,
      );
      assert.match(out, /421$/);
    });
  }

  it("keeps a connection for the next request, over HTTP/1.1", async () => {
    const socket = await dial(site, router.port, "open.test", { as: null, ALPNProtocols: ["http/1.1"] });
    const request = "GET /again HTTP/1.1\r\nHost: open.test\r\n\r\n";
    for (let i = 0; i < 3; i++) {
      socket.write(request);
      let seen = "";
      while (!seen.endsWith("0\r\n\r\n") && !seen.endsWith("}"))
        seen += (await firstBytes(socket))?.toString() ?? assert.fail(`closed after ${i}`);
      assert.match(seen, /"url":"\/again"/);
    }
    socket.destroy();
  });

  it("drops what is for one hop only, both ways", async () => {
    const { out } = await curl("app.test", "/", [
      "--http1.1",
      "--include",
      "--header",
      "Connection: x-mine",
      "--header",
      "X-Mine: 1",
      "--header",
      "TE: trailers, x-mine",
    ]);
    const [head = "", body = ""] = out.split("\r\n\r\n");
    assert.ok(!/x-hop/i.test(head), head);
    assert.equal(head.match(/set-cookie: /gi)?.length, 2);
    const fields = fieldsOf(JSON.parse(body));
    assert.ok(!fields.some(([name]) => name === "x-mine"));
    // True of the next hop too, and said for it.
    assert.deepEqual(
      fields.filter(([name]) => name === "te" || name === "connection"),
      [
        ["te", "trailers"],
        ["connection", "keep-alive, te"],
      ],
    );
  });
});

/** Raw HTTP/1.1 over TLS. */
async function raw(request: string, ms = 5000): Promise<string> {
  const socket = await dial(site, router.port, "open.test", { as: null, ALPNProtocols: ["http/1.1"] });
  socket.write(request);
  return (await readAll(socket, ms)).toString();
}

describe("requests that two parsers would read differently", () => {
  const head = "POST / HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\n";
  const smuggled: [string, string][] = [
    ["both lengths", `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["two lengths", `${head}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`],
    ["a length that is no number", `${head}Content-Length: +4\r\n\r\nabcd`],
    ["an unknown coding", `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ["a coding after chunked", `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ["a space before the colon", `${head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
    ["two hosts", "GET / HTTP/1.1\r\nHost: open.test\r\nHost: app.test\r\nConnection: close\r\n\r\n"],
    ["no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"],
    ["nonsense", "NONSENSE\r\n\r\n"],
  ];
  for (const [what, request] of smuggled) {
    it(`are refused: ${what}`, async () => {
      const answer = await raw(request);
      assert.ok(!answer.includes('"method"'), `the upstream saw it: ${answer}`);
      assert.match(answer, /^(HTTP\/1\.1 4\d\d |$)/);
    });
  }
});

describe("a WebSocket", () => {
  it("goes through, first words and half-close included", async () => {
    const socket = await dial(site, router.port, "app.test", { ALPNProtocols: ["http/1.1"] });
    socket.write(
      "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    );
    let seen = "";
    while (!seen.includes("first word;")) seen += (await firstBytes(socket))?.toString() ?? assert.fail(seen);
    assert.match(seen, /^HTTP\/1\.1 101 /);
    assert.match(seen, /upgrade: websocket/i);
    socket.end("hello through the upgrade");
    assert.equal((await readAll(socket)).toString(), "hello through the upgrade");
  });
});

describe("the router's own app", { skip: missing("curl") }, () => {
  it("tells who is calling", async () => {
    const { out } = await curl("localhost", "/v1/whoami");
    assert.equal(JSON.parse(out).subject, "CN=alice,OU=payments");
  });

  it("answers under its own name only", async () => {
    const { out } = await curl("localhost", "/v1/whoami", [
      "--header",
      "Host: app.test",
      "--write-out",
      "\n%{http_code}",
    ]);
    assert.match(out, /unknown_name[\s\S]*421$/);
  });

  it("answers 401 to whoami without a certificate, and serves the rest", async () => {
    const { out } = await curl("localhost", "/v1/whoami", ["--write-out", "\n%{http_code}"], null);
    assert.match(out, /client_cert_missing[\s\S]*401$/);
    assert.equal((await curl("localhost", "/healthz", [], null)).out, "ok\n");
    assert.match((await curl("localhost", "/", [], null)).out, /<h1>Sallyport<\/h1>/);
  });
});

describe("a client that has closed its half", () => {
  for (const [what, request] of [
    ["waits for an answer that never comes", "GET /never HTTP/1.1\r\nHost: open.test\r\n\r\n"],
    ["has not sent all of its body", "POST / HTTP/1.1\r\nHost: open.test\r\nContent-Length: 9\r\n\r\nabc"],
  ] as const) {
    it(`and ${what} is not waited for as long as an idle one`, async () => {
      const from = router.now();
      const socket = await dial(site, router.port, "open.test", { as: null });
      socket.end(request);
      await readAll(socket);
      const record = await router.record((one) => one.route === "open", from);
      assert.ok(record.duration_ms < 20_000, `${record.duration_ms} ms`);
    });
  }
});
