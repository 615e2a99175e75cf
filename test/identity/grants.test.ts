import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseCertificate } from "../../src/identity/certificate.ts";
import { encodeGrants, type Grants, grantsOid, parseGrants } from "../../src/identity/grants.ts";
import { groupsIn, parseGroupSource } from "../../src/identity/groups.ts";
import { identityOf } from "../../src/identity/identity.ts";
import { brokenLimit } from "../../src/identity/policy.ts";
import { oidText, readTlv } from "../../src/wire/der.ts";
import { derElement, derOid } from "../../src/wire/der-write.ts";
import { parseCidr, parseIp } from "../../src/wire/ip.ts";
import { leaf, leafExtensions, name, root, subjectAltName } from "../support/crafted-certificates.ts";
import { octets, seq, utf8 } from "../support/der.ts";
import { parsed } from "../support/paths.ts";

const anchor = root();
const extension = (value: Uint8Array) => seq(derOid(grantsOid), octets(value));
const holder = (value: Uint8Array, uris: readonly string[] = []) =>
  leaf(anchor, {
    subject: name(["O", "Example"], ["OU", "unit"], ["CN", "m"]),
    extensions: [
      ...leafExtensions,
      extension(value),
      ...(uris.length > 0 ? [subjectAltName({ uri: uris })] : []),
    ],
  });
const cidr = (text: string) => parseCidr(text) ?? assert.fail(text);
const limited = (grants: Partial<Grants>) =>
  identityOf(parsed(holder(encodeGrants({ groups: [], sources: null, routes: null, ...grants }))));

describe("what an authority grants", () => {
  it("is read as it was written", () => {
    for (const sources of [["0.0.0.0/0"], ["10.1.2.3/32", "10.0.0.0/9", "::/0", "2001:db8::/33"], []]) {
      const grants = { groups: ["a", "ü"], sources: sources.map(cidr), routes: ["orders"] };
      assert.deepEqual(parseGrants(encodeGrants(grants)), grants);
    }
    const nothing = { groups: [], sources: null, routes: null };
    assert.deepEqual(parseGrants(encodeGrants(nothing)), nothing);
  });

  it("makes its certificate malformed where it can't be read", () => {
    const bad = [
      Uint8Array.of(),
      seq(utf8("x")),
      seq(derElement(0xa0, octets(Uint8Array.of(1)))),
      seq(derElement(0xa0, utf8(""))),
      seq(derElement(0xa1, octets(Uint8Array.of(10, 0, 0, 0)))),
      seq(derElement(0xa1, octets(Uint8Array.of(10, 0, 0, 0, 255, 0, 255, 0)))),
      seq(derElement(0xa1, octets(Uint8Array.of(10, 0, 0, 1, 255, 0, 0, 0)))),
      seq(derElement(0xa2, utf8("b")), derElement(0xa0, utf8("a"))),
      seq(derElement(0xa0, derElement(0x0c, Uint8Array.of(0xff)))),
    ];
    for (const value of bad) assert.ok("malformed" in parseCertificate(holder(value).der), String(value));
  });

  it("limits where a certificate is used from", async () => {
    const identity = await limited({ sources: [cidr("10.0.0.0/8"), cidr("2001:db8::/32")] });
    for (const good of ["10.1.2.3", "2001:db8::1", "::ffff:10.0.0.1"])
      assert.equal(brokenLimit(identity, "orders", parseIp(good)), null, good);
    for (const bad of ["11.0.0.1", "2001:db9::1", "::1"])
      assert.equal(brokenLimit(identity, "orders", parseIp(bad))?.reason, "source_not_allowed", bad);
    assert.equal(
      brokenLimit(await limited({ sources: [] }), null, parseIp("10.0.0.1"))?.reason,
      "source_not_allowed",
    );
  });

  it("limits for which routes, and never the router's own pages", async () => {
    const identity = await limited({ routes: ["orders"] });
    const here = parseIp("127.0.0.1");
    assert.equal(brokenLimit(identity, "orders", here), null);
    assert.equal(brokenLimit(identity, "orders-2", here)?.reason, "identity_not_allowed");
    assert.equal(brokenLimit(identity, null, here), null);
    assert.equal(brokenLimit(await limited({ routes: [] }), "orders", here)?.reason, "identity_not_allowed");
  });
});

describe("groups", () => {
  const certificate = parsed(
    holder(encodeGrants({ groups: ["granted", "unit"], sources: null, routes: null }), [
      "https://example.com/group/ops/x",
      "https://example.com/group/a/b/x",
      "https://example.com/group//x",
      "https://example.org/group/evil/x",
    ]),
  );
  const from = (...places: string[]) =>
    groupsIn(
      certificate,
      places.map((text) => {
        const source = parseGroupSource(text);
        if ("problem" in source) throw new Error(source.problem);
        return source;
      }),
    );

  it("are found where the configuration says, each once", () => {
    assert.deepEqual(from("ou"), ["unit"]);
    assert.deepEqual(from("o"), ["Example"]);
    assert.deepEqual(from("ou", "extension"), ["unit", "granted"]);
    assert.deepEqual(from("uri:https://example.com/group/{group}/x"), ["ops"]);
    assert.deepEqual(from(), []);
  });

  it("are not found in a SPIFFE ID that is none", () => {
    const of = (...uris: string[]) => {
      const source = parseGroupSource("uri:spiffe://example.com/{group}");
      if ("problem" in source) throw new Error(source.problem);
      return groupsIn({ subjectName: [], names: { uri: uris }, grants: null }, [source]);
    };
    assert.deepEqual(of("spiffe://example.com/ops"), ["ops"]);
    assert.deepEqual(of("spiffe://example.com/ops", "spiffe://example.com/dev"), []);
    for (const uri of ["spiffe://example.com/..", "spiffe://example.com/.", "spiffe://example.com/"])
      assert.deepEqual(of(uri), [], uri);
  });

  it("are not found at places that are none", () => {
    for (const text of ["cn", "uri:{group}", "uri:spiffe://a/{group}/{group}", "uri:spiffe://a/group", ""])
      assert.ok("problem" in parseGroupSource(text), text);
  });
});

describe("an object identifier", () => {
  it("may have arcs of any size", () => {
    for (const text of [grantsOid, "2.999.1", "1.3.6.1.4.1.9007199254740993", "0.0", "2.5.29.14"]) {
      const element = readTlv(derOid(text));
      assert.equal(oidText(element?.value ?? new Uint8Array(0)), text);
    }
  });

  it("is not endless", () => {
    assert.equal(oidText(new Uint8Array(200).fill(0x81)), undefined);
    assert.equal(oidText(Uint8Array.of(0x2a, 0x80)), undefined);
    assert.equal(oidText(Uint8Array.of(0x2a, 0x80, 0x01)), undefined);
    assert.equal(oidText(new Uint8Array(0)), undefined);
  });
});
