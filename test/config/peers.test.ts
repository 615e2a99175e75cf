import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { restartOnly } from "../../src/reload/restart-only.ts";
import { authority, ca, hourMs, load, problems, type Variables } from "../support/environment.ts";

const person = { commonName: "router-1", groups: ["routers"] };
const own = await authority.router(person, "localhost", hourMs);
const other = await authority.router(person, "gate.example.com", hourMs);
const client = await authority.client({ ...person, dnsNames: ["localhost"] }, hourMs);
const server = await authority.server(["localhost"], hourMs);

const sound: Variables = {
  SALLYPORT_PEER_ALLOW: "group:routers",
  SALLYPORT_PEER_CERT: own.cert,
  SALLYPORT_PEER_KEY: own.key,
};
const wrong = (variables: Variables): string =>
  problems(variables)
    .map(({ name, message }) => `${name}: ${message}`)
    .join("\n");

describe("other routers", () => {
  it("come to the router's own name by an ALPN id of their own, with certificates that a rule admits", () => {
    const { table, peers, peerAddress } = load({
      ...sound,
      SALLYPORT_PEERS: "10.0.0.1:8443,[2001:db8::1]:8443",
      SALLYPORT_PEER_ADDRESS: "router-1.internal:8443",
    });
    const route = table.routes.find(({ adapter }) => adapter === "peer");
    assert.deepEqual(route?.alpn, ["sallyport-peer"]);
    assert.deepEqual(
      route?.names.map(({ text }) => text),
      ["localhost"],
    );
    assert.deepEqual([route?.client, route?.allow.map(({ text }) => text)], ["required", ["group:routers"]]);
    assert.equal(route?.certificate?.cert, own.cert);
    assert.deepEqual(peers, [{ address: "10.0.0.1:8443" }, { address: "[2001:db8::1]:8443" }]);
    assert.equal(peerAddress, "router-1.internal:8443");
  });

  it("leave this one out of a list that all have", () => {
    const all = { SALLYPORT_PEERS: "10.0.0.1:8443,10.0.0.2:8443", SALLYPORT_PEER_ADDRESS: "10.0.0.2:8443" };
    assert.deepEqual(load({ ...sound, ...all }).peers, [{ address: "10.0.0.1:8443" }]);
  });

  it("are nobody unless somebody may be one, and a warning says so", () => {
    const { SALLYPORT_PEER_ALLOW: _, ...rest } = sound;
    const { table, warnings } = load({ ...rest, SALLYPORT_PEERS: "10.0.0.1:8443" });
    assert.equal(
      table.routes.some(({ adapter }) => adapter === "peer"),
      false,
    );
    assert.match(warnings.join("\n"), /SALLYPORT_PEER_CERT is set, and SALLYPORT_PEER_ALLOW is not/);
    assert.match(warnings.join("\n"), /SALLYPORT_PEERS is set, and SALLYPORT_PEER_ALLOW is not/);
  });

  it("have to be told where they are, by a list or a shared state: a warning says what is missing", () => {
    const said = (more: Variables): string => load({ ...sound, ...more }).warnings.join("\n");
    const shared = {
      SALLYPORT_STATE_URL: "redis://127.0.0.1",
      SALLYPORT_STATE_SECRET: Buffer.alloc(32, 1).toString("base64"),
    };
    const address = { SALLYPORT_PEER_ADDRESS: "10.0.0.1:8443" };
    assert.match(
      said(address),
      /neither SALLYPORT_STATE_URL nor SALLYPORT_PEERS says where other routers are/,
    );
    assert.match(said(shared), /SALLYPORT_PEER_ADDRESS is not set: other routers are not told where to ask/);
    for (const enough of [{ ...shared, ...address }, { SALLYPORT_PEERS: "10.0.0.2:8443" }])
      assert.doesNotMatch(said(enough), /SALLYPORT_PEER/);
  });

  it("have trust anchors of their own, where they are set", () => {
    const config = load({ ...sound, SALLYPORT_PEER_CA: ca, SALLYPORT_CLIENT_CA: "" });
    assert.equal(config.table.routes.find(({ adapter }) => adapter === "peer")?.anchors.length, 1);
    assert.match(
      wrong({ ...sound, SALLYPORT_CLIENT_CA: "" }),
      /^SALLYPORT_PEER_ALLOW: .*set SALLYPORT_PEER_CA or SALLYPORT_CLIENT_CA$/,
    );
    assert.match(wrong({ ...sound, SALLYPORT_PEER_CA: "nowhere.pem" }), /^SALLYPORT_PEER_CA: can't be read/);
  });

  for (const [what, variables, expected] of [
    ["no certificate", { SALLYPORT_PEER_CERT: "" }, /^SALLYPORT_PEER_CERT: expected this router's own/],
    ["no key", { SALLYPORT_PEER_KEY: "" }, /^SALLYPORT_PEER_KEY: expected the private key/],
    ["another's key", { SALLYPORT_PEER_KEY: other.key }, /^SALLYPORT_PEER_KEY: .*not this certificate's/],
    [
      "a certificate of another name",
      { SALLYPORT_PEER_CERT: other.cert, SALLYPORT_PEER_KEY: other.key },
      /^SALLYPORT_PEER_CERT: is no router's: it is not for localhost; "sallyport ca router" makes one$/,
    ],
    [
      "a client's certificate",
      { SALLYPORT_PEER_CERT: client.cert, SALLYPORT_PEER_KEY: client.key },
      /^SALLYPORT_PEER_CERT: is no router's: it is not for serverAuth/,
    ],
    [
      "a server's certificate",
      { SALLYPORT_PEER_CERT: server.cert, SALLYPORT_PEER_KEY: server.key },
      /^SALLYPORT_PEER_CERT: is no router's: it is not for clientAuth/,
    ],
    [
      "a rule that is none",
      { SALLYPORT_PEER_ALLOW: "routers" },
      /^SALLYPORT_PEER_ALLOW: "routers" is no rule/,
    ],
    [
      "an address that is none",
      { SALLYPORT_PEERS: "10.0.0.1" },
      /^SALLYPORT_PEERS: "10.0.0.1" is no address/,
    ],
    [
      "an address that nobody can dial",
      { SALLYPORT_PEER_ADDRESS: "0.0.0.0:8443" },
      /^SALLYPORT_PEER_ADDRESS: can't be dialled/,
    ],
    ["port 0", { SALLYPORT_PEERS: "10.0.0.1:8443,10.0.0.2:0" }, /^SALLYPORT_PEERS: can't be dialled/],
    [
      "no name of its own",
      { SALLYPORT_CERT: "", SALLYPORT_KEY: "" },
      /^SALLYPORT_PEER_ALLOW: routers come to SALLYPORT_HOST, for which there is no certificate/,
    ],
  ] as const)
    it(`are refused with ${what}`, () => assert.match(wrong({ ...sound, ...variables }), expected));

  it("are read again with everything else, but for where they are", () => {
    const before = load({ ...sound, SALLYPORT_PEERS: "10.0.0.1:8443" });
    const names = (variables: Variables): readonly string[] =>
      restartOnly(load({ ...sound, ...variables }), before).map(({ name }) => name);
    assert.deepEqual(names({ SALLYPORT_PEERS: "10.0.0.1:8443", SALLYPORT_PEER_ALLOW: "cn:router-1" }), []);
    assert.deepEqual(names({ SALLYPORT_PEERS: "10.0.0.2:8443" }), ["SALLYPORT_PEERS"]);
  });
});
