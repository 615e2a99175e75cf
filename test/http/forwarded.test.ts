import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { forwardedFor } from "../../src/http/forwarded.ts";
import { type Cidr, parseCidr } from "../../src/wire/ip.ts";

const trusted = ["10.0.0.0/8", "fd00::/8"].map((text) => parseCidr(text) as Cidr);
const from = (value: string | null, peer = "10.0.0.1"): string | null => forwardedFor(value, peer, trusted);

describe("X-Forwarded-For", () => {
  it("counts for nothing from a peer that is not believed", () => {
    assert.equal(from("192.0.2.1", "203.0.113.5"), "203.0.113.5");
    assert.equal(from("junk", "203.0.113.5"), "203.0.113.5");
  });

  it("says the client's address, which the balancer put last", () => {
    assert.equal(from("192.0.2.1"), "192.0.2.1");
    assert.equal(from("198.51.100.1, 192.0.2.1"), "192.0.2.1", "what stands before it the client made up");
    assert.equal(from(" 192.0.2.1 "), "192.0.2.1");
  });

  it("is followed through several balancers", () => {
    assert.equal(from("192.0.2.1, 10.9.9.9, fd00::1"), "192.0.2.1");
    assert.equal(from("10.7.7.7, 10.8.8.8"), "10.7.7.7", "a client in the balancers' own network");
  });

  it("may have ports and brackets", () => {
    assert.equal(from("192.0.2.1:5000"), "192.0.2.1");
    assert.equal(from("[2001:db8::1]:5000"), "2001:db8::1");
    assert.equal(from("[2001:db8::1]"), "2001:db8::1");
    assert.equal(from("2001:db8::1"), "2001:db8::1");
  });

  it("is refused where what counts is no address", () => {
    for (const value of ["", "unknown", "192.0.2.1, ", "192.0.2.300", "_hidden", "192.0.2.1:x", "[192.0.2.1"])
      assert.equal(from(value), null, value);
  });

  it("without one the peer counts", () => {
    assert.equal(from(null), "10.0.0.1");
  });
});
