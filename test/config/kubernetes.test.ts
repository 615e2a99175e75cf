import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { authority, folder, hourMs, load, routeOf, wrong } from "../support/environment.ts";

const client = await authority.client({ commonName: "router" }, hourMs);
const pair = `&upstream_cert=${encodeURIComponent(client.cert)}&upstream_key=${encodeURIComponent(client.key)}`;
const url = "kubernetes://api?sni=kube.example.com";
const texts = (rights: readonly { readonly text: string }[] | undefined) => rights?.map(({ text }) => text);

describe("a kubernetes route", () => {
  it("acts as the certificate's holder by a token, from the environment or a file, or a certificate", () => {
    const { kubernetes } = routeOf(`${url}&upstream_token=\${TOKEN}`, { TOKEN: "ab.c-d" });
    assert.deepEqual(kubernetes?.token, { text: "ab.c-d" });
    assert.deepEqual(texts(kubernetes?.impersonation?.user), ["{cn}", "{email}", "{uri}"]);
    assert.deepEqual(texts(kubernetes?.impersonation?.groups), ["{group}"]);
    assert.equal(kubernetes?.auditRequests, true);
    const file = routeOf(`${url}&upstream_token_file=t`, {}, folder({ t: "ab.c\n" }));
    assert.deepEqual(file.kubernetes?.token, { path: "t" });
    assert.equal(routeOf(`${url}${pair}`).kubernetes?.token, null);
    assert.notEqual(routeOf(`${url}${pair}`).kubernetes?.impersonation, null);
  });

  it("leaves it to clients where it has none of these", () => {
    assert.deepEqual(routeOf(`${url}&audit=off`).kubernetes, {
      token: null,
      impersonation: null,
      auditRequests: false,
    });
    assert.match(wrong(`${url}&kube_user={cn}`), /kube_user= needs upstream_token=/);
    assert.equal(routeOf("https://a?sni=a.example.com").kubernetes, null);
  });

  it("has a mapping, and rules on whom clients may ask to be", () => {
    const { impersonation } =
      routeOf(
        `${url}&upstream_token=t&kube_user=staff:{email},{cn}&kube_groups=system:authenticated,team:{group}&kube_uid={cn}&kube_extra=example.com/team={ou},note=a=b&kube_as=user:deploy,group:ops&kube_as=user:*-bot`,
      ).kubernetes ?? {};
    assert.deepEqual(texts(impersonation?.user), ["staff:{email}", "{cn}"]);
    assert.deepEqual(texts(impersonation?.groups), ["system:authenticated", "team:{group}"]);
    assert.equal(impersonation?.uid?.text, "{cn}");
    assert.deepEqual(
      impersonation?.extra.map(({ key, value }) => [key, value.text]),
      [
        ["example.com/team", "{ou}"],
        ["note", "a=b"],
      ],
    );
    assert.deepEqual(texts(impersonation?.as), ["user:deploy,group:ops", "user:*-bot"]);
    assert.deepEqual(
      routeOf(`${url}&upstream_token=t&kube_groups=off`).kubernetes?.impersonation?.groups,
      [],
    );
  });

  it("says what is wrong, and repeats no token", () => {
    const t = `${url}&upstream_token=t`;
    for (const [text, why] of [
      [`${t}&upstream_token_file=x`, /don't go together/],
      [`${t}${pair}`, /a token don't go together/],
      [`${t}&client=none`, /client=none makes no sense/],
      [`${t}&kube_user=system:{cn}`, /never made of what a certificate says/],
      [`${t}&kube_user=*`, /\* stands for nothing here/],
      [`${t}&kube_user={nobody}`, /\{nobody\} is not known/],
      [`${t}&kube_groups=off,x`, /goes with no other/],
      [`${t}&kube_extra=Team=x`, /a name in small letters/],
      [`${t}&kube_extra=x`, /expected NAME=VALUE/],
      [`${t}&kube_as=group:ops`, /names no user/],
      [`${t}&audit=statements`, /expected requests or off/],
      [`${url}&upstream_token_file=none`, /upstream_token_file= can't be read/],
      ["https://a?sni=a.example.com&upstream_token=t", /makes no sense on a https route/],
      ["https://a?sni=a.example.com&audit=off", /makes no sense on a https route/],
    ] as const)
      assert.match(wrong(text), why);
    const said = wrong(`${url}&upstream_token=a%20secret`);
    assert.match(said, /upstream_token= is no bearer token/);
    assert.doesNotMatch(said, /secret/);
    const read = wrong(`${url}&upstream_token_file=t`, {}, folder({ t: "a secret" }));
    assert.match(read, /upstream_token_file= is no bearer token/);
    assert.doesNotMatch(read, /secret/);
  });

  it("warns of a token that others could read on the way", () => {
    const { warnings } = load({ SALLYPORT_ROUTE_R: `${url}&upstream_token=t&upstream_tls=insecure` });
    assert.ok(
      warnings.some((text) => /the token goes to api:6443 in TLS that is not verified/.test(text)),
      warnings.join(),
    );
  });
});
