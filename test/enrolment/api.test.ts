import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { createAuthorityApi } from "../../routes/authority.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { type AuthorityWorld, openAuthorityApi } from "../../src/authority-api.ts";
import { ca } from "../../src/cli/ca.ts";
import { parseProvider } from "../../src/config/provider-url.ts";
import { newRequest } from "../../src/enrolment/new-request.ts";
import { Rate } from "../../src/enrolment/rate.ts";
import type { CertificateRecord } from "../../src/enrolment/record.ts";
import { newSshRequest } from "../../src/enrolment/ssh-request.ts";
import { ConfigError, Refusal } from "../../src/errors.ts";
import { createClientVerifier, type Presented } from "../../src/identity/verifier.ts";
import { createLog } from "../../src/observe/log.ts";
import { listsIn } from "../../src/revocation/read-lists.ts";
import { files } from "../../src/runtime/files.ts";
import { Authority, algorithms, createAuthority } from "../support/pki.ts";
import { certificationRequest, newKeys } from "../support/requests.ts";
import { forged, TokenIssuer } from "../support/token-issuer.ts";

const hourMs = 3_600_000;
const folder = mkdtempSync(join(tmpdir(), "sallyport-api-"));
const dir = join(folder, "ca");
let issuer: TokenIssuer;
let anchor: string;
let records: CertificateRecord[];
let logged: string[];
beforeEach(() => {
  records = [];
  logged = [];
});

async function command(...args: readonly string[]): Promise<string> {
  const lines: string[] = [];
  assert.equal(await ca.run(args, { env: {}, out: (line) => void lines.push(line), err: () => {} }), 0);
  return lines.join("\n");
}

before(async () => {
  issuer = await TokenIssuer.start();
  await command("init", "--dir", dir, "--name", "Test");
  anchor = readFileSync(join(dir, "ca.crt"), "utf8");
});
after(() => {
  issuer?.close();
  rmSync(folder, { recursive: true, force: true });
});

const joinToken = (...more: readonly string[]): Promise<string> =>
  command("token", "--dir", dir, "--cn", "builder-7", "--group", "ci", ...more);

interface Setting {
  readonly perSource?: number;
  readonly perIdentity?: number;
  readonly verifier?: AuthorityWorld["verifier"];
  readonly renewalSpanMs?: number;
  readonly anchors?: readonly string[];
}

async function start(setting: Setting = {}) {
  const { perSource = 1000, perIdentity = 1000, renewalSpanMs = 24 * hourMs } = setting;
  const rules = "client_id=sallyport&group={groups}&uri=spiffe://example.com/user/{sub}";
  const provider = parseProvider(
    "SALLYPORT_OIDC_X",
    "staff",
    `${issuer.issuer}?${rules}`,
    {
      lifetimeMs: hourMs,
      renewalSpanMs,
    },
    {},
  );
  if ("message" in provider) throw new Error(provider.message);
  const anchors = setting.anchors ?? [anchor];
  const api = createAuthorityApi(
    await openAuthorityApi(
      {
        directory: dir,
        lifetimeMs: hourMs,
        renewalSpanMs,
        perSource,
        perIdentity,
        sshPrincipals: [],
        providers: [provider],
      },
      {
        anchors,
        verifier: setting.verifier ?? createClientVerifier(anchors.flatMap(certificatesFromPem)),
        rate: (perMinute, what) => new Rate(perMinute, what),

        sharedTokens: null,
        audit: (record) => void records.push(record),
        log: createLog({ write: (line) => void logged.push(line), close: async () => {} }, "text", "info"),
        files,
      },
      null,
    ),
  );
  const source = { address: "192.0.2.7", port: 4711 };
  return {
    get: (path: string) => api.request(path),
    post: async (
      body: unknown,
      presented: Presented | null = null,
      type = "application/json",
      from = source,
    ) => {
      const init = { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) };
      const headers = { "content-type": type };
      const response = await api.request(
        "/v1/certificates",
        { ...init, headers },
        { source: from, presented },
      );
      const answer = (await response.json()) as Readonly<Record<string, unknown>>;
      const error = answer.error as { readonly reason: string; readonly detail: string } | undefined;
      return {
        status: response.status,
        answer,
        reason: error?.reason,
        detail: error?.detail ?? "",
        response,
      };
    },
  };
}

const csr = certificationRequest;

/** What a client would show with a certificate that was issued to it. */
function present(answer: Readonly<Record<string, unknown>>): Presented {
  const chain = [String(answer.certificate), ...(answer.chain as string[])].flatMap(certificatesFromPem);
  return { leaf: chain[0] ?? new Uint8Array(), chain: () => chain };
}

const identityOf = async (presented: Presented) =>
  (await createClientVerifier(certificatesFromPem(anchor)).verify(presented, Date.now())).identity;

describe("POST /v1/certificates with a join token", () => {
  it("with an SSH key that is not proven is refused, and the token stays good", async () => {
    const { post } = await start();
    const asked = { csr: await csr(), join_token: await joinToken() };
    const { request } = await newSshRequest(null, (await newRequest()).publicKey);
    const refused = await post({ ...asked, ssh: request });
    assert.deepEqual([refused.status, refused.reason], [400, "request_invalid"]);
    const { status, answer } = await post(asked);
    assert.deepEqual([status, answer.ssh_certificate], [201, undefined]);
  });

  it("answers a certificate for whom the token was made, for the key of the request", async () => {
    const { post } = await start();
    const keys = await newKeys();
    const token = await joinToken("--uri", "spiffe://example.com/ci/7", "--lifetime", "10m");
    const { status, answer } = await post({ csr: await csr({ keys }), join_token: token });
    assert.equal(status, 201);
    const identity = await identityOf(present(answer));
    assert.equal(identity.subject, "CN=builder-7,OU=ci");
    assert.equal(identity.spiffe, "spiffe://example.com/ci/7");
    assert.equal(identity.serial, answer.serial);
    const lasts = Date.parse(String(answer.expires)) - Date.now();
    assert.ok(lasts > 8 * 60_000 && lasts <= 10 * 60_000);
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
    const digest = Buffer.from(await crypto.subtle.digest("SHA-256", spki)).toString("hex");
    assert.equal(identity.keyFingerprint, digest);
    const [record] = records;
    assert.deepEqual(
      [record?.outcome, record?.reason, record?.credential, record?.serial, record?.source],
      ["served", "ok", "join_token", answer.serial, "192.0.2.7:4711"],
    );
    assert.deepEqual(record?.identity, {
      name: "builder-7",
      groups: ["ci"],
      uris: ["spiffe://example.com/ci/7"],
    });
  });

  it("certifies keys of every kind that is strong enough", async () => {
    const { post } = await start();
    const kinds = [
      { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
      { name: "Ed25519" },
      algorithms.rsa2048,
    ] as const;
    for (const algorithm of kinds) {
      const keys = await newKeys(algorithm);
      const request = await csr({ keys, algorithm });
      const { status, answer } = await post({ csr: request, join_token: await joinToken() });
      assert.equal(status, 201, algorithm.name);
      const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
      const digest = Buffer.from(await crypto.subtle.digest("SHA-256", spki)).toString("hex");
      assert.equal((await identityOf(present(answer))).keyFingerprint, digest);
    }
  });

  it("refuses one that was used, also when many come at once", async () => {
    const { post } = await start();
    const token = await joinToken();
    const requests = await Promise.all(Array.from({ length: 8 }, () => csr()));
    const answers = await Promise.all(requests.map((one) => post({ csr: one, join_token: token })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...new Array(7).fill(401)]);
    const again = await post({ csr: await csr(), join_token: token });
    assert.deepEqual([again.status, again.reason], [401, "token_used"]);
    assert.equal(records.at(-1)?.reason, "token_used");
    assert.equal(records.at(-1)?.identity?.name, "builder-7");
    assert.ok(!JSON.stringify(records).includes(token) && !logged.join("").includes(token));
  });

  it("refuses one that is old, or was never made", async () => {
    const { post } = await start();
    const token = await joinToken("--expires", "1ms");
    await new Promise((next) => setTimeout(next, 20));
    const old = await post({ csr: await csr(), join_token: token });
    assert.deepEqual([old.status, old.reason], [401, "token_expired"]);
    const paths = [
      "../ca.key",
      "sallyport-join-",
      `sallyport-join-${"0".repeat(43)}`,
      `${await joinToken()} `,
      "",
    ];
    for (const unknown of paths) {
      const { status, reason } = await post({ csr: await csr(), join_token: unknown });
      assert.deepEqual([status, reason], [401, "token_invalid"], unknown);
    }
  });

  it("does not use one up for a request that is refused", async () => {
    const { post } = await start();
    const token = await joinToken();
    const bad = [
      [await csr({ algorithm: algorithms.rsa1024 }), 400, "key_unfit"],
      [await csr({ subject: "CN=root" }), 403, "identity_mismatch"],
      [await csr({ keys: await newKeys(), signer: await newKeys() }), 400, "request_invalid"],
    ] as const;
    for (const [request, status, reason] of bad) {
      const answer = await post({ csr: request, join_token: token });
      assert.deepEqual([answer.status, answer.reason], [status, reason]);
      assert.equal(records.at(-1)?.reason, reason);
    }
    assert.equal((await post({ csr: await csr(), join_token: token })).status, 201);
  });
});

describe("POST /v1/certificates with an ID token", () => {
  it("answers a certificate for whom the provider vouches", async () => {
    const { post } = await start();
    const token = await issuer.token({ groups: ["payments"] });
    const { status, answer } = await post({
      csr: await csr({ subject: "CN=alice@example.com" }),
      id_token: token,
    });
    assert.equal(status, 201);
    const { subject, spiffe } = await identityOf(present(answer));
    assert.deepEqual(
      [subject, spiffe],
      ["CN=alice@example.com,OU=payments", "spiffe://example.com/user/user-1"],
    );
    assert.equal(records[0]?.voucher, "staff:user-1");
    assert.ok(!JSON.stringify(records).includes(token));
  });

  it("says when to come back where the provider can't be asked", async () => {
    const { post } = await start();
    const path = "/.well-known/openid-configuration";
    const sound = issuer.documents[path] ?? {};
    issuer.documents[path] = 500;
    try {
      const { status, reason, response } = await post({ csr: await csr(), id_token: await issuer.token() });
      assert.deepEqual(
        [status, reason, response.headers.get("retry-after")],
        [503, "upstream_unreachable", "10"],
      );
      assert.equal(records.at(-1)?.outcome, "failed");
    } finally {
      issuer.documents[path] = sound;
    }
  });

  it("refuses what would get in by another way", async () => {
    const { post } = await start();
    const seconds = Math.floor(Date.now() / 1000);
    const none = forged(await issuer.token(), { alg: "none" }, () => "");
    const attempts: readonly (readonly [string, Promise<string> | string, string])[] = [
      ["alg none", none, "token_invalid"],
      ["another audience", issuer.token({ aud: "another" }), "token_invalid"],
      ["expired", issuer.token({ iat: seconds - 900, exp: seconds - 600 }), "token_expired"],
      ["of the future", issuer.token({ iat: seconds + 600, exp: seconds + 900 }), "token_expired"],
      ["for another key", issuer.token({ nonce: "x" }), "token_invalid"],
      ["without an email that is verified", issuer.token({ email_verified: false }), "identity_not_allowed"],
      ["with a name that can't be one", issuer.token({ email: "a\u0000b" }), "identity_not_allowed"],
      ["with a URI that leads elsewhere", issuer.token({ sub: "../root" }), "identity_not_allowed"],
    ];
    for (const [what, token, wanted] of attempts) {
      const { status, reason } = await post({ csr: await csr(), id_token: await token });
      assert.ok(status === 401 || status === 403, what);
      assert.equal(reason, wanted, what);
      assert.deepEqual([records.at(-1)?.outcome, records.at(-1)?.reason], ["refused", wanted], what);
    }
    const other = await post({
      csr: await csr({ subject: "CN=bob@example.com" }),
      id_token: await issuer.token(),
    });
    assert.deepEqual([other.status, other.reason], [403, "identity_mismatch"]);
  });
});

describe("POST /v1/certificates with the certificate to renew", () => {
  const issued = async (post: Awaited<ReturnType<typeof start>>["post"], keys?: CryptoKeyPair) => {
    const request = await csr(keys === undefined ? {} : { keys });
    return (await post({ csr: request, join_token: await joinToken("--uri", "spiffe://example.com/7") }))
      .answer;
  };

  it("keeps the limits of the token it began with, and those of a certificate made by hand", async () => {
    const { post } = await start();
    const limits = ["--source", "192.0.2.0/24", "--route", "orders"];
    const first = await post({ csr: await csr(), join_token: await joinToken(...limits) });
    assert.equal(first.status, 201, first.detail);
    const out = join(folder, "by-hand");
    await command("issue", "--dir", dir, "--cn", "hand", ...limits, "--out", out);
    const [certificate = "", ...chain] = readFileSync(`${out}.crt`, "utf8").split(
      /(?<=END CERTIFICATE-----\n)/,
    );
    for (const old of [first.answer, { certificate, chain }]) {
      const renewed = await post({ csr: await csr() }, present(old));
      assert.equal(renewed.status, 201, renewed.detail);
      const ders = [renewed.answer.certificate, ...(renewed.answer.chain as string[])].flatMap((pem) =>
        certificatesFromPem(String(pem)),
      );
      const [leaf = new Uint8Array(0)] = ders;
      const verifier = createClientVerifier(certificatesFromPem(anchor));
      const { identity } = await verifier.verify({ leaf, chain: () => ders }, Date.now());
      assert.deepEqual([identity.sources, identity.routes], [["192.0.2.0/24"], ["orders"]]);
    }
  });

  it("answers one for the same holder and a new key", async () => {
    const { post } = await start();
    const old = await issued(post);
    const { status, answer } = await post({ csr: await csr() }, present(old));
    assert.equal(status, 201);
    const [before, now] = [await identityOf(present(old)), await identityOf(present(answer))];
    assert.deepEqual([now.subject, now.uris, now.groups], [before.subject, before.uris, before.groups]);
    assert.notEqual(now.serial, before.serial);
    const record = records.at(-1);
    assert.deepEqual([record?.credential, record?.voucher], ["certificate", before.serial]);
  });

  it("lasts as long as the first did, and not beyond the span of renewals", async () => {
    const { post } = await start();
    const token = await joinToken("--lifetime", "20m");
    const old = (await post({ csr: await csr(), join_token: token })).answer;
    const minutes = (answer: Readonly<Record<string, unknown>>): number =>
      Math.round((Date.parse(String(answer.expires)) - Date.now()) / 60_000);
    const second = (await post({ csr: await csr() }, present(old))).answer;
    assert.equal(minutes(second), 20);
    const brief = await joinToken("--lifetime", "20m", "--renewable", "10m");
    const short = (await post({ csr: await csr(), join_token: brief })).answer;
    assert.equal(minutes((await post({ csr: await csr() }, present(short))).answer), 10);
  });

  it("ends when the span of what was shown at first is over", async () => {
    const { post } = await start();
    const token = await joinToken("--renewable", "0s");
    const once = (await post({ csr: await csr(), join_token: token })).answer;
    const late = await post({ csr: await csr() }, present(once));
    assert.deepEqual([late.status, late.reason], [403, "client_cert_expired"]);
    assert.match(late.detail, /log in anew/);
    const { post: never } = await start({ renewalSpanMs: 0 });
    const vouched = (await never({ csr: await csr(), id_token: await issuer.token() })).answer;
    assert.equal((await post({ csr: await csr() }, present(vouched))).reason, "client_cert_expired");
  });

  it("counts the span of one that was issued by hand from its own beginning", async () => {
    const authority = await Authority.open({ cert: anchor, key: readFileSync(join(dir, "ca.key"), "utf8") });
    const byHand = await authority.client({ commonName: "a" }, 24 * hourMs, Date.now() - 5 * hourMs);
    const shown = present({ certificate: byHand.cert, chain: [] });
    const { post } = await start();
    assert.equal((await post({ csr: await csr() }, shown)).status, 201);
    const { post: over } = await start({ renewalSpanMs: 5 * hourMs });
    assert.equal((await over({ csr: await csr() }, shown)).reason, "client_cert_expired");
  });

  it("refuses the old key, and another's name", async () => {
    const { post } = await start();
    const keys = await newKeys();
    const old = await issued(post, keys);
    const same = await post({ csr: await csr({ keys }) }, present(old));
    assert.deepEqual([same.status, same.reason], [400, "key_unfit"]);
    const other = await post({ csr: await csr({ subject: "CN=root" }) }, present(old));
    assert.deepEqual([other.status, other.reason], [403, "identity_mismatch"]);
  });

  it("refuses a certificate of another authority, though the router trusts it", async () => {
    const partner = await Authority.open(await createAuthority("Partner"));
    const { post } = await start({ anchors: [anchor, partner.certificate.toString("pem")] });
    const theirs = await partner.client({ commonName: "alice", groups: ["admins"] }, hourMs);
    const { status, reason } = await post(
      { csr: await csr() },
      present({ certificate: theirs.cert, chain: [] }),
    );
    assert.deepEqual([status, reason], [403, "client_cert_untrusted"]);
  });

  it("refuses what the authority revoked, and what that was renewed into, whatever lists the router has", async () => {
    const { post } = await start();
    const first = await issued(post);
    const second = (await post({ csr: await csr() }, present(first))).answer;
    const third = (await post({ csr: await csr() }, present(second))).answer;
    await command("revoke", "--dir", dir, "--serial", String(second.serial));
    const [list] = listsIn(readFileSync(join(dir, "ca.crl")));
    for (const one of [second, third])
      assert.ok(list?.revoked.has(String(one.serial)), "those out already too");
    assert.ok(!list?.revoked.has(String(first.serial)));
    for (const [old, status] of [
      [first, 201],
      [second, 403],
      [third, 403],
    ] as const) {
      const answer = await post({ csr: await csr() }, present(old));
      assert.equal(answer.status, status, answer.detail);
      if (status === 403) assert.equal(answer.reason, "client_cert_revoked");
    }
  });

  it("refuses one that is revoked or expired by now, though the connection was let in", async () => {
    const revoking = {
      verify: async () => {
        throw new Refusal("client_cert_revoked", "revoked");
      },
      known: () => null,
      isDue: () => false,
      recheck: async () => {},
    };
    const { post } = await start();
    const old = await issued(post);
    const { post: later } = await start({ verifier: revoking });
    const revoked = await later({ csr: await csr() }, present(old));
    assert.deepEqual([revoked.status, revoked.reason], [403, "client_cert_revoked"]);
    const files = { cert: anchor, key: readFileSync(join(dir, "ca.key"), "utf8") };
    const authority = await Authority.open(files);
    const expired = await authority.client({ commonName: "a" }, 60_000, Date.now() - hourMs);
    const answer = await post({ csr: await csr() }, present({ certificate: expired.cert, chain: [] }));
    assert.deepEqual([answer.status, answer.reason], [403, "client_cert_expired"]);
  });

  it("asks for one where there is nothing else", async () => {
    const { post } = await start();
    const { status, reason } = await post({ csr: await csr() });
    assert.deepEqual([status, reason], [401, "client_cert_missing"]);
  });
});

describe("POST /v1/certificates", () => {
  it("takes JSON of its own shape alone", async () => {
    const { post } = await start();
    const request = await csr();
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data",
      "application/jsonp",
    ])
      assert.match((await post({ csr: request }, null, type)).detail, /expected JSON/, type);
    assert.equal(records.length, 4);
    for (const body of ["", "{", "[]", "null", '"x"', {}, { csr: 1 }, { csr: request, person: {} }]) {
      const { status, reason } = await post(body);
      assert.deepEqual([status, reason], [400, "request_invalid"], JSON.stringify(body));
    }
    const both = await post({ csr: request, join_token: "a", id_token: "b" });
    assert.deepEqual([both.status, both.reason], [400, "request_invalid"]);
    assert.equal(
      (await post({ csr: request, join_token: "a" }, null, "Application/JSON; charset=utf-8")).status,
      401,
    );
  });

  it("holds back a source that asks too often, also with bad requests", async () => {
    const { post } = await start({ perSource: 3 });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await post({})).status);
    assert.deepEqual(statuses, [400, 400, 400, 429, 429]);
    const { response, reason } = await post({});
    assert.equal(reason, "limit_reached");
    assert.ok(Number(response.headers.get("retry-after")) >= 1);
    assert.equal(records.at(-1)?.reason, "limit_reached");
    const elsewhere = await post({}, null, "application/json", { address: "192.0.2.8", port: 1 });
    assert.equal(elsewhere.status, 400);
  });

  it("holds back an identity that asks too often, wherever it comes from", async () => {
    const { post } = await start({ perIdentity: 2 });
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) {
      const body = { csr: await csr(), id_token: await issuer.token() };
      const { status } = await post(body, null, "application/json", { address: `192.0.2.${i}`, port: 1 });
      statuses.push(status);
    }
    assert.deepEqual(statuses, [201, 201, 429]);
  });

  it("says nothing of what went wrong inside", async () => {
    const { post } = await start();
    const token = await joinToken();
    const tokens = join(dir, "tokens");
    for (const name of readdirSync(tokens)) rmSync(join(tokens, name));
    const hash = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(token))).toString("hex");
    const { writeFileSync } = await import("node:fs");
    writeFileSync(join(tokens, `${hash}.json`), "not a record");
    const { status, reason, detail } = await post({ csr: await csr(), join_token: token });
    assert.deepEqual([status, reason], [500, "authority_failed"]);
    assert.ok(!detail.includes(folder));
    assert.match(logged.join("\n"), /can't be read/);
    assert.equal(records.at(-1)?.outcome, "failed");
  });
});

describe("what the authority shows everybody", () => {
  it("is its certificates, what it revoked, and where to log in", async () => {
    const { get } = await start();
    const bundle = await (await get("/v1/ca")).text();
    assert.ok(certificatesFromPem(bundle).length >= 1);
    assert.match(await (await get("/v1/crl")).text(), /^-----BEGIN X509 CRL-----/);
    assert.match(await (await get("/v1/ssh-krl")).text(), /^SSHKRL\n\0/);
    const login = {
      name: "staff",
      issuer: issuer.issuer,
      client_id: "sallyport",
      scope: "openid email profile",
    };
    assert.deepEqual(await (await get("/v1/login")).json(), { providers: [login] });
  });

  it("can't be started where nobody would take what it issues, or it is not there", async () => {
    const other = await createAuthority("Other");
    await assert.rejects(start({ anchors: [other.cert] }), (error) => {
      assert.ok(error instanceof ConfigError);
      return error.problems[0]?.name === "SALLYPORT_CLIENT_CA";
    });
  });
});
