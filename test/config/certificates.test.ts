import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  certificateStore,
  type ServerCertificate,
  selectCertificate,
} from "../../src/config/certificates.ts";

const one = (name: string, ...names: string[]): ServerCertificate => ({
  name,
  cert: "",
  key: "",
  names,
  notAfter: new Date(0),
});

describe("the certificate for a server name", () => {
  const fallback = one("fallback", "fallback.example.com", "*.both.example.com");
  const more = [
    one("wild", "*.example.com", "*.both.example.com"),
    one("exact", "a.example.com"),
    one("second", "a.example.com"),
  ];
  const store = certificateStore(fallback, more);
  const pick = (name: string | null): string | undefined => selectCertificate(store, name)?.name;

  it("is an exact one before a wildcard, wherever it stands", () =>
    assert.equal(pick("a.example.com"), "exact"));
  it("is a wildcard of one label", () => {
    assert.equal(pick("b.example.com"), "wild");
    assert.equal(pick("a.b.example.com"), "fallback");
    assert.equal(pick("example.com"), "fallback");
  });
  it("is compared without case and final dot", () => assert.equal(pick("A.EXAMPLE.COM."), "exact"));
  it("is SALLYPORT_CERT by its own names only where no other covers them", () => {
    assert.equal(pick("fallback.example.com"), "fallback");
    assert.equal(pick("x.both.example.com"), "wild");
  });
  it("is SALLYPORT_CERT for all other names, and none", () => {
    for (const name of ["other.example.net", null, "", "192.0.2.1", "*.example.com", "localhost"])
      assert.equal(pick(name), "fallback", String(name));
  });
  it("is none where there is no SALLYPORT_CERT", () => {
    const bare = certificateStore(null, more);
    assert.equal(selectCertificate(bare, "other.example.net"), null);
    assert.equal(selectCertificate(bare, null), null);
    assert.equal(selectCertificate(bare, "a.example.com")?.name, "exact");
  });
});
