import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { parseProvider } from "../../src/config/provider-url.ts";
import { IdTokens } from "../../src/enrolment/id-token.ts";
import type { Provider } from "../../src/enrolment/provider.ts";
import { EnrolmentRefusal } from "../../src/enrolment/refusal.ts";
import { forged, TokenIssuer } from "../support/token-issuer.ts";

let issuer: TokenIssuer;
before(async () => {
  issuer = await TokenIssuer.start();
});
after(() => issuer?.close());

const hourMs = 3_600_000;
const keyHash = "k".repeat(43);
const soon = { discoveryMs: hourMs, failureMs: 0, cooldownMs: 0 };

function provider(parameters = "client_id=sallyport", of = issuer.issuer, name = "staff"): Provider {
  const read = parseProvider(
    "SALLYPORT_OIDC_X",
    name,
    `${of}?${parameters}`,
    {
      lifetimeMs: hourMs,
      renewalSpanMs: hourMs,
    },
    {},
  );
  if ("message" in read) throw new Error(read.message);
  return read;
}

const judge = (token: string, ...providers: readonly Provider[]) =>
  new IdTokens(providers.length === 0 ? [provider()] : providers, soon).verify(token, keyHash, Date.now());

const refused = (reason: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof EnrolmentRefusal, String(error));
  assert.equal(error.reason, reason, error.message);
  assert.match(error.message, words);
  return true;
};
const invalid = (words: RegExp) => refused("token_invalid", words);
const seconds = (ago: number): number => Math.floor(Date.now() / 1000) - ago;

describe("an ID token", () => {
  it("says who its holder is", async () => {
    const { person, voucher, lifetimeMs } = await judge(await issuer.token());
    assert.equal(person.commonName, "alice@example.com");
    assert.equal(voucher, "staff:user-1");
    assert.equal(lifetimeMs, hourMs);
  });

  it("is not taken without a signature (alg none)", async () => {
    const token = await issuer.token();
    for (const alg of ["none", "None", "NONE", ""])
      for (const typ of [{}, { typ: "JWT" }])
        await assert.rejects(
          judge(forged(token, { alg, ...typ }, () => "")),
          invalid(/algorithm|verified/),
          alg,
        );
    await assert.rejects(judge(`${token.slice(0, token.lastIndexOf("."))}.`), invalid(/signature|verified/));
  });

  it("is not taken with a public key used as a secret (HS256)", async () => {
    const { x = "" } = issuer.publicJwk;
    const secrets = [Buffer.from(x, "base64url"), JSON.stringify(issuer.publicJwk), ""];
    for (const secret of secrets) {
      const hmac = (input: string): string => createHmac("sha256", secret).update(input).digest("base64url");
      const token = forged(await issuer.token(), { alg: "HS256", kid: issuer.publicJwk.kid }, hmac);
      await assert.rejects(judge(token), invalid(/algorithm/));
    }
  });

  it("is not taken with a key that it brings itself", async () => {
    const stranger = await TokenIssuer.start();
    try {
      const header = { jwk: stranger.publicJwk, jku: `${stranger.issuer}/keys`, kid: stranger.publicJwk.kid };
      await assert.rejects(judge(await stranger.token({ iss: issuer.issuer }, header)), invalid(/key/));
      const named = { ...header, kid: issuer.publicJwk.kid };
      await assert.rejects(judge(await stranger.token({ iss: issuer.issuer }, named)), invalid(/verified/));
      await assert.rejects(judge(await stranger.token()), invalid(/issuer is not one of those/));
    } finally {
      stranger.close();
    }
  });

  it("is not taken when it is changed", async () => {
    const [head, payload = "", signature] = (await issuer.token()).split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
    const other = Buffer.from(JSON.stringify({ ...claims, email: "root@example.com" })).toString("base64url");
    await assert.rejects(judge(`${head}.${other}.${signature}`), invalid(/verified/));
  });

  it("is for us and nobody else", async () => {
    await assert.rejects(judge(await issuer.token({ aud: "another" })), invalid(/aud/));
    await assert.rejects(judge(await issuer.token({ aud: undefined })), invalid(/aud/));
    await assert.rejects(judge(await issuer.token({ aud: [] })), invalid(/aud/));
    const both = await issuer.token({ aud: ["sallyport", "another"], azp: "sallyport" });
    await assert.rejects(judge(both), invalid(/audience names others/));
    await assert.rejects(judge(await issuer.token({ azp: "another" })), invalid(/azp/));
    const two = provider("client_id=sallyport&audience=cli");
    const ours = { aud: ["sallyport", "cli"] };
    await assert.rejects(judge(await issuer.token(ours), two), invalid(/azp/));
    await judge(await issuer.token({ ...ours, azp: "cli" }), two);
  });

  it("is of its time", async () => {
    const expired = { iat: seconds(600), exp: seconds(300) };
    await assert.rejects(judge(await issuer.token(expired)), refused("token_expired", /too old/));
    const future = { iat: seconds(-300), exp: seconds(-600) };
    await assert.rejects(judge(await issuer.token(future)), refused("token_expired", /future/));
    await assert.rejects(
      judge(await issuer.token({ nbf: seconds(-300) })),
      refused("token_expired", /future/),
    );
    const old = { iat: seconds(3600), exp: seconds(-3600) };
    await assert.rejects(judge(await issuer.token(old)), refused("token_expired", /too old/));
    await judge(await issuer.token(old), provider("client_id=sallyport&max_age=2h"));
    for (const claim of ["iat", "exp"])
      await assert.rejects(judge(await issuer.token({ [claim]: undefined })), EnrolmentRefusal, claim);
  });

  it("has a subject", async () => {
    for (const sub of [undefined, "", "a\nb", "x".repeat(256)])
      await assert.rejects(judge(await issuer.token({ sub })), invalid(/sub/));
  });

  it("is no access token, and nothing else that is signed by the same key", async () => {
    for (const typ of ["at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt"])
      await assert.rejects(judge(await issuer.token({}, { typ })), invalid(/another type/), typ);
    await judge(await issuer.token({}, { typ: "JWT" }));
  });

  it("with a nonce is bound to the key", async () => {
    await judge(await issuer.token({ nonce: keyHash }));
    await assert.rejects(judge(await issuer.token({ nonce: "of another key" })), invalid(/nonce/));
    await assert.rejects(judge(await issuer.token({ nonce: "" })), invalid(/nonce/));
    const required = provider("client_id=sallyport&nonce=required");
    await assert.rejects(judge(await issuer.token(), required), invalid(/nonce/));
    await judge(await issuer.token({ nonce: keyHash }), required);
    await judge(await issuer.token({ nonce: "of a web app" }), provider("client_id=sallyport&nonce=any"));
  });

  it("is a JWT of bounded size", async () => {
    for (const token of ["", "a.b.c", "sallyport", `${await issuer.token()}.x`])
      await assert.rejects(judge(token), invalid(/JWT|verified/), token.slice(0, 20));
    await assert.rejects(judge(await issuer.token({ more: "x".repeat(20_000) })), invalid(/longer than/));
  });

  it("fits one of several rules for one issuer", async () => {
    const [app, site] = [
      provider("audience=sallyport&require=repository:acme/app&name={sub}", issuer.issuer, "app"),
      provider(
        "audience=sallyport&require=repository:acme/site&name={sub}&lifetime=10m",
        issuer.issuer,
        "site",
      ),
    ];
    const { voucher, lifetimeMs } = await judge(await issuer.token({ repository: "acme/site" }), app, site);
    assert.deepEqual([voucher, lifetimeMs], ["site:user-1", 600_000]);
    const other = await issuer.token({ repository: "acme/other" });
    await assert.rejects(judge(other, app, site), refused("identity_not_allowed", /no require= rule/));
  });
});

describe("a provider's keys", () => {
  const path = "/.well-known/openid-configuration";

  it("are found once, and found again when a new one is used", async () => {
    const one = await TokenIssuer.start();
    try {
      const tokens = new IdTokens([provider("client_id=sallyport", one.issuer)], soon);
      const verify = async (token: string) => await tokens.verify(token, keyHash, Date.now());
      const first = await one.token();
      await Promise.all([verify(first), verify(first), verify(first)]);
      await verify(await one.token());
      assert.deepEqual(one.asked, [path, "/keys"]);
      await one.rotate();
      await verify(await one.token());
      assert.deepEqual(one.asked, [path, "/keys", "/keys"]);
      await assert.rejects(verify(first), invalid(/does not have/));
    } finally {
      one.close();
    }
  });

  it("are not asked for again and again by made-up key ids", async () => {
    const one = await TokenIssuer.start();
    try {
      const tokens = new IdTokens([provider("client_id=sallyport", one.issuer)]);
      for (let i = 0; i < 5; i++) {
        const token = await one.token({}, { kid: `made-up-${i}` });
        await assert.rejects(tokens.verify(token, keyHash, Date.now()), invalid(/does not have/));
      }
      assert.deepEqual(one.asked, [path, "/keys"]);
    } finally {
      one.close();
    }
  });

  it("are believed only where discovery is sound", async () => {
    const one = await TokenIssuer.start();
    try {
      const token = await one.token();
      const sound = one.documents[path] as object;
      for (const [document, words] of [
        [{ ...sound, issuer: "https://other.example.com" }, /another issuer/],
        [{ issuer: one.issuer }, /jwks_uri/],
        [{ ...sound, jwks_uri: "http://keys.example.com/" }, /jwks_uri over https/],
        [{ ...sound, jwks_uri: "file:///etc/passwd" }, /jwks_uri/],
        ["no JSON", /can't be read/],
        [`{"x":"${"x".repeat(300_000)}"}`, /more than/],
        [302, /can't be read|answers 302/],
        [500, /answers 500/],
      ] as const) {
        one.documents[path] = document;
        const rules = provider("client_id=sallyport", one.issuer);
        await assert.rejects(judge(token, rules), refused("upstream_unreachable", words), String(words));
      }
    } finally {
      one.close();
    }
  });

  it("that can't be had are not asked for by everybody who comes", async () => {
    const one = await TokenIssuer.start();
    one.documents[path] = 500;
    try {
      const tokens = new IdTokens([provider("client_id=sallyport", one.issuer)]);
      const token = await one.token();
      for (let i = 0; i < 3; i++)
        await assert.rejects(
          tokens.verify(token, keyHash, Date.now()),
          refused("upstream_unreachable", /500/),
        );
      assert.equal(one.asked.length, 1);
    } finally {
      one.close();
    }
  });
});
