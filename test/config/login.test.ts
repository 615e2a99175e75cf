import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { load, problems, routeOf, wrong } from "../support/environment.ts";

const host = { SALLYPORT_HOST: "gate.example.com" };
const staff = { ...host, SALLYPORT_OIDC_STAFF: "https://login.test?client_id=a" };
const two = { ...staff, SALLYPORT_OIDC_PARTNERS: "https://partners.test?client_id=b" };
const app = "http://10.0.0.1?sni=app.example.com";

describe("login= on a route", () => {
  it("names the provider, which needs no authority then", () => {
    assert.equal(routeOf(app).login, null);
    assert.equal(routeOf(`${app}&client=optional&login=oidc`, staff).login, "staff");
    assert.equal(routeOf(`${app}&client=none&login=oidc:staff`, staff).login, "staff");
    const machines = { ...staff, SALLYPORT_AUTHORITY: "ca", SALLYPORT_OIDC_CI: "https://ci.test?audience=x" };
    assert.equal(routeOf(`${app}&client=none&login=oidc`, machines).login, "staff");
    const { login } = load({
      ...two,
      SALLYPORT_AUTHORITY: "ca",
      SALLYPORT_LOGIN_LIFETIME: "10m",
      SALLYPORT_ROUTE_R: `${app}&client=none&login=oidc:partners`,
    });
    assert.deepEqual(
      login?.providers.map(({ name }) => name),
      ["partners", "staff"],
    );
    assert.equal(login?.lifetimeMs, 600_000);
    assert.equal(load(host).login, null);
  });

  it("holds who signs in to rules, those for all too", () => {
    const open = routeOf(`${app}&client=none&login=oidc&allow=group:a`, staff);
    assert.deepEqual(
      open.allow.map(({ text }) => text),
      ["group:a"],
    );
    for (const client of ["none", "optional"]) {
      const { allow } = routeOf(`${app}&client=${client}&login=oidc`, {
        ...staff,
        SALLYPORT_ALLOW: "group:b",
      });
      assert.deepEqual(
        allow.map(({ text }) => text),
        ["group:b"],
        client,
      );
    }
    assert.match(wrong(`${app}&client=none&allow=group:a`), /allow= needs a client certificate/);
  });

  it("is refused where nobody could sign in", () => {
    const on = (more: string, variables: Readonly<Record<string, string>> = staff): string =>
      wrong(`${app}&${more}`, variables);
    for (const client of ["", "client=required&"])
      assert.match(
        on(`${client}login=oidc`),
        /SALLYPORT_ROUTE_R: login= needs client=optional or client=none/,
      );
    assert.match(
      on("client=optional&login=oidc", host),
      /needs a provider at which to sign in: set SALLYPORT_OIDC_\*/,
    );
    const machines = { ...host, SALLYPORT_AUTHORITY: "ca", SALLYPORT_OIDC_CI: "https://ci.test?audience=x" };
    assert.match(on("client=optional&login=oidc", machines), /needs a provider at which to sign in/);
    assert.match(on("client=optional&login=oidc:ci", machines), /needs SALLYPORT_OIDC_CI with client_id=/);
    assert.match(on("client=optional&login=oidc:big-corp"), /needs SALLYPORT_OIDC_BIG_CORP with client_id=/);
    assert.match(
      on("client=optional&login=oidc", two),
      /could be any of partners, staff: expected oidc:partners/,
    );
    for (const text of ["saml", "oidc:", "OIDC", "oidc:Staff"])
      assert.match(on(`client=optional&login=${text}`), /expected oidc or oidc:NAME/, text);
    assert.match(on("client=optional&login=oidc&port=9000"), /login= makes no sense with port=/);
    for (const scheme of ["tcp://h:1", "kubernetes://h", "postgres://h", "tls://h"])
      assert.match(
        wrong(`${scheme}?sni=app.example.com&login=oidc`, staff),
        /login= makes no sense on a \w+ route/,
        scheme,
      );
    const nowhere = {
      ...staff,
      SALLYPORT_HOST: "gate.elsewhere.test",
      SALLYPORT_CERT: "",
      SALLYPORT_KEY: "",
    };
    assert.match(on("client=optional&login=oidc", nowhere), /login= needs a certificate for SALLYPORT_HOST/);
  });

  it("leaves no provider without a use", () => {
    const [problem] = problems(staff);
    assert.equal(problem?.name, "SALLYPORT_OIDC_STAFF");
    assert.match(problem?.message ?? "", /needs SALLYPORT_AUTHORITY, or a route with login=oidc/);
    const [other] = problems({ ...two, SALLYPORT_ROUTE_R: `${app}&client=none&login=oidc:staff` });
    assert.equal(other?.name, "SALLYPORT_OIDC_PARTNERS");
  });

  it("warns where sessions die with the process", () => {
    const { warnings } = load({ ...staff, SALLYPORT_ROUTE_R: `${app}&client=none&login=oidc` });
    assert.ok(warnings.some((text) => /SALLYPORT_JWT_KEY is not set/.test(text)));
    assert.ok(!load({}).warnings.some((text) => /JWT_KEY/.test(text)));
  });
});

describe("SALLYPORT_HOST_LOGIN", () => {
  it("lets browsers sign in at the router's own pages", () => {
    const { login, table } = load({ ...staff, SALLYPORT_HOST_LOGIN: "oidc" });
    assert.equal(table.routes.find(({ name }) => name === "sallyport")?.login, "staff");
    assert.equal(login?.providers.length, 1);
    const tunnels = load({ ...staff, SALLYPORT_HOST_LOGIN: "oidc", SALLYPORT_TUNNEL_ALLOW: "a=cn:a" });
    assert.equal(tunnels.table.routes.find(({ name }) => name === "sallyport-tunnel")?.login, null);
  });

  it("names a provider", () => {
    const [problem] = problems({ ...host, SALLYPORT_HOST_LOGIN: "oidc" });
    assert.equal(problem?.name, "SALLYPORT_HOST_LOGIN");
    assert.match(problem?.message ?? "", /needs a provider/);
  });
});

describe("a provider's client", () => {
  it("may have a secret, which nothing prints", () => {
    const env = { ...host, SECRET: "s3/cr&t", SALLYPORT_ROUTE_R: `${app}&client=none&login=oidc` };
    // biome keeps no template here: it is the configuration's own.
    const url = `https://login.test?client_id=a&client_secret=${"$"}{SECRET}`;
    const { login } = load({ ...env, SALLYPORT_OIDC_STAFF: url });
    assert.equal(login?.providers[0]?.clientSecret, "s3/cr&t");
    const [lonely] = problems({
      ...host,
      SALLYPORT_OIDC_STAFF: "https://login.test?audience=a&client_secret=s3cret",
    });
    assert.match(lonely?.message ?? "", /client_secret= needs client_id=/);
    const [unset] = problems({ ...host, SALLYPORT_OIDC_STAFF: `${url}&x=s3cret`.replace("SECRET", "OTHER") });
    assert.match(unset?.message ?? "", /OTHER.* is not set/);
    assert.ok(!unset?.message.includes("s3cret"));
  });
});

describe("SALLYPORT_LOGIN_LIFETIME", () => {
  it("has bounds", () => {
    for (const text of ["59s", "61m", "0s", "soon"]) {
      const [problem] = problems({ SALLYPORT_LOGIN_LIFETIME: text });
      assert.equal(problem?.name, "SALLYPORT_LOGIN_LIFETIME", text);
    }
  });
});
