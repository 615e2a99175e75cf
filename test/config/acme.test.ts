import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { authority, ca, folder, load, problems, server } from "../support/environment.ts";

const none = { SALLYPORT_CERT: "", SALLYPORT_KEY: "" };
const acme = { ...none, SALLYPORT_ACME: "https://ca.test/dir", SALLYPORT_ACME_DIR: "/var/lib/sallyport" };
const route = (query: string): string => `tcp://10.0.0.1:1?${query}`;
const wrong = (variables: Record<string, string>, on = folder({})): string =>
  problems(variables, on)
    .map(({ name, message }) => `${name}: ${message}`)
    .join("\n");

describe("docs/acme.md", () => {
  const page = readFileSync("docs/acme.md", "utf8");
  const macKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
  const disk = folder({ "/etc/sallyport/step-root.crt": ca, "/etc/sallyport/eab.key": macKey });
  const examples = [...page.matchAll(/```sh\n(SALLYPORT_[\s\S]*?)```/g)].map(([, text = ""]) => text);
  it("has examples that start", () => {
    assert.equal(examples.length, 3);
    for (const text of examples) {
      const lines = [...text.matchAll(/^(SALLYPORT_\w+)="?(.*?)"?$/gm)];
      const { acme } = load(
        { ...none, ...Object.fromEntries(lines.map(([, name, value]) => [name, value])) },
        disk,
      );
      assert.ok((acme?.names.length ?? 0) > 0, text);
    }
  });
});

describe("SALLYPORT_ACME", () => {
  it("orders for the router's name and exact names of routes that no certificate covers", () => {
    const { cert, key } = server;
    const config = load(
      {
        ...acme,
        SALLYPORT_HOST: "gate.test",
        SALLYPORT_CERT_DIR: "/certs",
        SALLYPORT_ROUTE_A: route("sni=b.test,a.test,covered.example.com,*.example.com"),
        SALLYPORT_ROUTE_THROUGH: "tls://10.0.0.1:1?sni=through.test",
      },
      folder({ "/certs/wild.crt": cert, "/certs/wild.key": key }),
    );
    assert.deepEqual(config.acme, {
      directory: "https://ca.test/dir",
      email: null,
      folder: "/var/lib/sallyport/ca.test-dir",
      ca: null,
      externalAccount: null,
      challenge: "tls-alpn-01",
      names: ["a.test", "b.test", "gate.test"],
    });
    assert.ok(
      config.table.routes.some(({ adapter }) => adapter === "app"),
      "its pages are served",
    );
  });

  it("orders what only a certificate for other names would serve", () => {
    const more = { ...acme, SALLYPORT_CERT: server.cert, SALLYPORT_KEY: server.key };
    const config = load({ ...more, SALLYPORT_ROUTE_A: route("sni=a.test,b.example.com") });
    assert.deepEqual(config.acme?.names, ["a.test"]);
    assert.deepEqual(config.warnings, []);
  });

  it("serves what was ordered, for the one name", async () => {
    const { cert, key } = await authority.server(["a.test", "bank.test"], 3_600_000);
    const path = "/var/lib/sallyport/ca.test-dir/certificates/a.test.pem";
    const variables = { ...acme, SALLYPORT_ROUTE_A: route("sni=a.test,b.test") };
    const { certificates } = load(variables, folder({ [path]: `${key}${cert}` }));
    assert.deepEqual([...certificates.byName.keys()], ["a.test"]);
    for (const [text, expected] of [
      ["nothing", /a\.test\.pem: expected a private key and its chain; remove it/],
      [`${server.key}${cert}`, /not this certificate's/],
      [`${server.key}${server.cert}`, /is for \*\.example\.com, localhost, not a\.test/],
    ] as const) {
      const said = wrong(variables, folder({ [path]: text }));
      assert.match(said, /^SALLYPORT_ACME_DIR: /);
      assert.match(said, expected);
      assert.doesNotMatch(said, /BEGIN/);
    }
  });

  it("can't order wildcards, captures, localhost, or what a route passes through", () => {
    const said = wrong({
      ...acme,
      SALLYPORT_ROUTE_A: route("sni=*.a.test"),
      SALLYPORT_ROUTE_B: "ssh://{node}.internal:22?sni={node}.b.test",
      SALLYPORT_ROUTE_C: route("sni=x.localhost"),
      SALLYPORT_ROUTE_D: route("sni=d.test"),
      SALLYPORT_ROUTE_THROUGH: "tls://10.0.0.1:1?sni=d.test",
    });
    assert.match(
      said,
      /ROUTE_A: no certificate for \*\.a\.test, which can't be had by tls-alpn-01, which proves exact names alone: set SALLYPORT_CERT/,
    );
    assert.match(said, /ROUTE_B: no certificate for \{node\}\.b\.test, which can't be had/);
    assert.match(said, /ROUTE_C: no certificate for x\.localhost, which is every machine's own/);
    assert.match(
      said,
      /ROUTE_D: no certificate for d\.test, which can't be had by tls-alpn-01, since route through takes acme-tls\/1/,
    );
    const http = { ...acme, SALLYPORT_ACME_CHALLENGE: "http-01", SALLYPORT_ROUTE_D: route("sni=d.test") };
    const config = load({ ...http, SALLYPORT_ROUTE_THROUGH: "tls://10.0.0.1:1?sni=d.test" });
    assert.deepEqual(config.acme?.names, ["d.test"]);
  });

  it("knows Let's Encrypt by name, and keeps what directories give apart", () => {
    const of = (name: string) => load({ ...acme, SALLYPORT_ACME: name }).acme;
    assert.deepEqual(
      ["letsencrypt", "letsencrypt-staging", "https://ca.test:9000/acme/acme/directory"].map(
        (name) => of(name)?.folder,
      ),
      [
        "/var/lib/sallyport/acme-v02.api.letsencrypt.org-directory",
        "/var/lib/sallyport/acme-staging-v02.api.letsencrypt.org-directory",
        "/var/lib/sallyport/ca.test-9000-acme-acme-directory",
      ],
    );
    for (const other of ["http://ca.test/dir", "https://user:secret@ca.test/", "ca.test", "letsencrypt2"]) {
      const said = wrong({ ...acme, SALLYPORT_ACME: other });
      assert.match(
        said,
        /^SALLYPORT_ACME: expected letsencrypt, letsencrypt-staging or the https:\/\/ URL/,
        other,
      );
      assert.doesNotMatch(said, /secret/);
    }
  });

  it("wants a folder, and both halves of an external account", () => {
    const macKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    assert.match(wrong({ ...none, SALLYPORT_ACME: "letsencrypt" }), /^SALLYPORT_ACME_DIR: expected a folder/);
    assert.match(
      wrong({ ...acme, SALLYPORT_ACME_EAB_KID: "k" }),
      /^SALLYPORT_ACME_EAB_HMAC_KEY: expected the key/,
    );
    assert.match(
      wrong({ ...acme, SALLYPORT_ACME_EAB_HMAC_KEY: macKey }),
      /^SALLYPORT_ACME_EAB_KID: expected the id/,
    );
    const bound = { ...acme, SALLYPORT_ACME_EAB_KID: "k", SALLYPORT_ACME_EAB_HMAC_KEY: "/eab.key" };
    const config = load(bound, folder({ "/eab.key": `${macKey}\n` }));
    assert.deepEqual(config.acme?.externalAccount, { kid: "k", hmacKey: macKey });
    const said = wrong(bound, folder({ "/eab.key": "secret words" }));
    assert.match(said, /^SALLYPORT_ACME_EAB_HMAC_KEY: expected a MAC key/);
    assert.doesNotMatch(said, /secret/);
    assert.match(wrong(bound), /can't be read \(no such file\)/);
    assert.match(wrong({ ...acme, SALLYPORT_ACME_CA: "/none" }), /^SALLYPORT_ACME_CA: can't be read/);
    assert.deepEqual(load({ ...acme, SALLYPORT_ACME_CA: ca }).acme?.ca?.length, 1);
    assert.match(wrong({ ...acme, SALLYPORT_ACME_CHALLENGE: "dns-01" }), /^SALLYPORT_ACME_CHALLENGE: /);
  });

  it("alone says that certificates are ordered", () => {
    const { warnings, acme: settings } = load({ SALLYPORT_ACME_EMAIL: "a@b.test", SALLYPORT_ACME_DIR: "/x" });
    assert.equal(settings, null);
    assert.match(
      warnings.join("\n"),
      /SALLYPORT_ACME_DIR and SALLYPORT_ACME_EMAIL is set, and SALLYPORT_ACME is not/,
    );
  });
});
