import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { dial, readAll } from "../support/client.ts";
import { missing } from "../support/programs.ts";
import { environment, type Site, sallyport, startRouter, type TestRouter } from "../support/router.ts";
import { run } from "../support/run.ts";
import { TokenIssuer } from "../support/token-issuer.ts";

let folder: string;
let router: TestRouter;
let issuer: TokenIssuer;
const at = (name: string): string => join(folder, name);

async function good(...args: readonly string[]): Promise<string> {
  const [command, ...first] = sallyport;
  const { status, out, err } = await run(command, [...first, ...args], { env: environment({}), ms: 60_000 });
  assert.equal(status, 0, err);
  return out.trim();
}

/** What the router's API answers to curl. */
async function curl(path: string, ...args: readonly string[]): Promise<{ status: number; text: string }> {
  const where = ["--cacert", at("ca/ca.crt"), "--resolve", `localhost:${router.port}:127.0.0.1`];
  const { out, err } = await run("curl", [
    "-sS",
    ...where,
    "-w",
    "\n%{http_code}",
    ...args,
    `https://localhost:${router.port}${path}`,
  ]);
  const end = out.lastIndexOf("\n");
  assert.ok(end >= 0, err);
  return { status: Number(out.slice(end + 1)), text: out.slice(0, end) };
}

const post = (body: object, ...args: readonly string[]) => {
  writeFileSync(at("body.json"), JSON.stringify(body));
  return curl(
    "/v1/certificates",
    "-H",
    "Content-Type: application/json",
    "--data-binary",
    `@${at("body.json")}`,
    ...args,
  );
};

/** A key and a request for it, as openssl makes them. */
async function openssl(name: string, ...kind: readonly string[]): Promise<string> {
  const files = ["-keyout", at(`${name}.key`), "-out", at(`${name}.csr`)];
  const { status, err } = await run("openssl", ["req", "-new", "-nodes", ...kind, ...files]);
  assert.equal(status, 0, err);
  return readFileSync(at(`${name}.csr`), "utf8");
}
const p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/"];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-certificates-"));
  issuer = await TokenIssuer.start();
  await good("ca", "init", "--dir", at("ca"), "--name", "Test");
  await good("ca", "server", "--dir", at("ca"), "--name", "localhost", "--out", at("server"));
  const rules = "audience=sallyport&require=repository:acme/app&name=ci:{repository}";
  router = await startRouter({ folder } as Site, {
    SALLYPORT_CLIENT_CA: at("ca/ca.crt"),
    SALLYPORT_AUTHORITY: at("ca"),
    SALLYPORT_OIDC_CI: `${issuer.issuer}?${rules}&uri=spiffe://example.com/ci/{%2Brepository}&group=ci`,
  });
});
after(async () => {
  await router?.stop();
  issuer?.close();
  rmSync(folder, { recursive: true, force: true });
});

const token = (): Promise<string> =>
  good("ca", "token", "--dir", at("ca"), "--cn", "alice", "--group", "payments");

describe("certificates over the one port", { skip: missing("curl", "openssl") }, () => {
  for (const version of ["--http1.1", "--http2"]) {
    it(`are issued to openssl's request by curl ${version}, and renewed with them`, async () => {
      const csr = await openssl("alice", ...p256);
      const { status, text } = await post({ csr, join_token: await token() }, version);
      assert.equal(status, 201, text);
      const answer = JSON.parse(text) as { certificate: string; chain: string[] };
      writeFileSync(at("alice.crt"), [answer.certificate, ...answer.chain].join("\n"));
      const bundle = await curl("/v1/ca");
      writeFileSync(at("bundle.pem"), bundle.text);
      const verified = await run("openssl", [
        "verify",
        "-purpose",
        "sslclient",
        "-CAfile",
        at("bundle.pem"),
        "-untrusted",
        at("alice.crt"),
        at("alice.crt"),
      ]);
      assert.equal(verified.status, 0, verified.err);
      const mtls = [version, "--cert", at("alice.crt"), "--key", at("alice.key")];
      const who = await curl("/v1/whoami", ...mtls);
      assert.equal((JSON.parse(who.text) as { subject: string }).subject, "CN=alice,OU=payments");
      const renewed = await post({ csr: await openssl("next", ...p256) }, ...mtls);
      assert.equal(renewed.status, 201, renewed.text);
      const same = await post({ csr }, ...mtls);
      assert.match(same.text, /key_unfit/);
    });

    it(`are not issued for a body that is too large, ${version}`, async () => {
      const { status, text } = await post({ csr: "x".repeat(70_000) }, version);
      assert.equal(status, 413, text);
    });
  }

  it("are issued to a CI job of the repository in the rules, and to no other", async () => {
    const mine = {
      csr: await openssl("ci", ...p256),
      id_token: await issuer.token({ repository: "acme/app" }),
    };
    const { status, text } = await post(mine);
    assert.equal(status, 201, text);
    const theirs = { ...mine, id_token: await issuer.token({ repository: "evil/app" }) };
    const refused = await post(theirs);
    assert.equal(refused.status, 403);
    assert.match(refused.text, /identity_not_allowed/);
  });

  it("are not issued for weak keys, stolen names or forged requests", async () => {
    const join_token = await token();
    const weak = await openssl("weak", "-newkey", "rsa:1024", "-subj", "/");
    assert.match((await post({ csr: weak, join_token })).text, /key_unfit.*1024 bits/);
    const odd = await openssl(
      "odd",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:secp256k1",
      "-subj",
      "/",
    );
    assert.match((await post({ csr: odd, join_token })).text, /key_unfit/);
    const stolen = await openssl("stolen", ...p256.slice(0, -1), "/CN=root");
    assert.match((await post({ csr: stolen, join_token })).text, /identity_mismatch/);
    const sha1 = await openssl("sha1", "-newkey", "rsa:2048", "-sha1", "-subj", "/");
    assert.match((await post({ csr: sha1, join_token })).text, /request_invalid/);
    const named = await openssl("named", ...p256.slice(0, -1), "/CN=alice/OU=payments");
    assert.equal((await post({ csr: named, join_token })).status, 201);
    assert.match((await post({ csr: named, join_token })).text, /token_used/);
  });

  it("are there for clients of the authority's own protocol, in HTTP/1.1", async () => {
    const socket = await dial({ folder: at("ca") } as Site, router.port, "localhost", {
      as: null,
      ALPNProtocols: ["sallyport-auth"],
    });
    assert.equal(socket.alpnProtocol, "sallyport-auth");
    socket.write("GET /v1/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const answer = (await readAll(socket)).toString();
    assert.match(answer, /^HTTP\/1\.1 200 [\s\S]*\{"providers":\[\]\}/);
  });

  it("are refused alike however the body is framed", async () => {
    const body = ["-H", "Content-Type: application/json", "-d", '{"csr":"x"}'];
    for (const how of [["--http1.1", "-H", "Transfer-Encoding: chunked"], ["--http1.1"], ["--http2"]]) {
      const { status, text } = await curl("/v1/certificates", ...how, ...body);
      assert.equal(status, 400, text);
      assert.match(text, /csr: expected one PKCS #10 request/);
    }
    const record = await router.record(
      (one) => (one.event as string) === "certificate" && one.reason !== "ok",
    );
    assert.equal(record.outcome, "refused");
  });

  it("come with what checks them", async () => {
    const keys = JSON.parse((await curl("/.well-known/jwks.json")).text) as {
      keys: Record<string, string>[];
    };
    assert.deepEqual([keys.keys[0]?.kty, keys.keys[0]?.d], ["EC", undefined]);
    writeFileSync(at("crl.pem"), (await curl("/v1/crl")).text);
    const crl = await run("openssl", [
      "crl",
      "-noout",
      "-in",
      at("crl.pem"),
      "-CAfile",
      at("ca/issuing.crt"),
    ]);
    assert.match(crl.err, /verify OK/);
    const back = await post({ csr: "x" }, "--http1.1");
    assert.equal(back.status, 400);
    const form = await curl("/v1/certificates", "--data", "csr=x");
    assert.equal(form.status, 400);
  });
});

describe("a router without an authority", { skip: missing("curl", "openssl") }, () => {
  it("has no API for certificates, and does not know its protocol", async () => {
    const plain = await startRouter({ folder } as Site, { SALLYPORT_CLIENT_CA: at("ca/ca.crt") });
    try {
      const where = ["--cacert", at("ca/ca.crt"), "--resolve", `localhost:${plain.port}:127.0.0.1`];
      const url = `https://localhost:${plain.port}`;
      const { out } = await run("curl", ["-sS", ...where, `${url}/v1/ca`]);
      assert.match(out, /not_found/);
      const jwks = await run("curl", ["-sS", ...where, `${url}/.well-known/jwks.json`]);
      assert.match(jwks.out, /"keys":\[\{/);
      const [command, ...first] = sallyport;
      const login = await run(
        command,
        [...first, "login", "--router", `localhost:${plain.port}`, "--token", "x"],
        {
          env: environment({ XDG_CONFIG_HOME: at("config"), SALLYPORT_CA: at("ca/ca.crt") }),
          ms: 60_000,
        },
      );
      assert.equal(login.status, 1);
      assert.match(login.err, /has no .*is it one that issues certificates\?/);
    } finally {
      await plain.stop();
    }
  });
});
