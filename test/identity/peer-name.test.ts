import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isFor, type PeerName } from "../../src/identity/peer-name.ts";
import { leaf, leafExtensions, name, root } from "../support/crafted-certificates.ts";
import { alternativeNames, generalName } from "../support/crafted-extensions.ts";
import { parsed, refused } from "../support/paths.ts";

const { dns, email, ip } = generalName;
const anchor = root();
const holder = (...names: readonly Uint8Array[]) =>
  leaf(anchor, {
    subject: name(["CN", "common.example.com"]),
    extensions: [...leafExtensions, alternativeNames(...names)],
  });
const host = (value: string): PeerName => ({ type: "dns", value });
const mailbox = (value: string): PeerName => ({ type: "email", value });
const address = (...octets: readonly number[]): PeerName => ({
  type: "ip",
  value: Uint8Array.from(octets),
});

describe("a certificate", () => {
  const certificate = parsed(
    holder(
      dns("a.example.com"),
      dns("*.wild.example.com"),
      dns("*.com"),
      dns("w*.example.com"),
      dns("*"),
      dns("10.0.0.1"),
      email("Alice@example.com"),
      ip(192, 0, 2, 1),
    ),
  );
  const is = [
    host("a.example.com"),
    host("A.Example.com."),
    host("x.wild.example.com"),
    mailbox("Alice@EXAMPLE.com"),
    address(192, 0, 2, 1),
  ];
  const isNot = [
    host("b.example.com"),
    host("example.com"),
    host("common.example.com"),
    host("wild.example.com"),
    host("x.y.wild.example.com"),
    host("*.wild.example.com"),
    host("other.com"),
    host("ww.example.com"),
    host("localhost"),
    host(""),
    mailbox("alice@example.com"),
    mailbox("Alice@a.example.com"),
    address(10, 0, 0, 1),
    address(...new Array<number>(10).fill(0), 255, 255, 192, 0, 2, 1),
  ];
  for (const wanted of is)
    it(`is for ${JSON.stringify(wanted.value)}`, () => assert.ok(isFor(certificate, wanted)));
  for (const wanted of isNot)
    it(`is not for ${JSON.stringify(wanted.value)}`, () => assert.ok(!isFor(certificate, wanted)));

  it("for another than the expected is refused", async () => {
    const wanted = { peerNames: [host("b.example.com")] };
    await refused([holder(dns("a.example.com"))], [anchor], "client_cert_unfit", /RFC 9525 §6/, wanted);
  });
});
