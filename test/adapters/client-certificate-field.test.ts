import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { clientCertificateField } from "../../src/adapters/http/client-certificate-field.ts";
import type { CertificateIdentity } from "../../src/identity/identity.ts";
import { formatName } from "../../src/identity/name.ts";

const field = (about: Partial<CertificateIdentity>, by: readonly string[] = []): string =>
  clientCertificateField(
    {
      fingerprint: "5f0c",
      subject: "",
      uris: [],
      dnsNames: [],
      ...about,
    } as CertificateIdentity,
    by,
  );

/** Subject as a name of one attribute would have it. */
const subjectOf = (value: string): string =>
  formatName([[{ oid: "2.5.4.3", value, der: new Uint8Array() } as never]]);

/** Splits as Envoy's documentation says, where `escapes` are what a backslash takes the meaning from. */
const parts = (text: string, escapes: RegExp): string[] => {
  const found = [""];
  let inside = false;
  for (let i = 0; i < text.length; i++) {
    const at = text[i] ?? "";
    if (inside && at === "\\" && escapes.test(text[i + 1] ?? "")) found[found.length - 1] += at + text[++i];
    else if (!inside && /[,;]/.test(at)) found.push("");
    else {
      if (at === '"') inside = !inside;
      found[found.length - 1] += at;
    }
  }
  return found;
};

const unescaped = (text: string): string =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(
    Uint8Array.from(text.match(/\\[0-9A-F]{2}|[ -~]/gi) ?? [], (one) =>
      one.length === 3 ? Number.parseInt(one.slice(1), 16) : one.charCodeAt(0),
    ),
  );

describe("X-Forwarded-Client-Cert", () => {
  it("has Envoy's form, as the docs show it", () => {
    const text = field(
      {
        fingerprint: "5f0c…",
        subject: "CN=alice,OU=payments",
        uris: ["spiffe://example.com/alice"],
        dnsNames: ["alice.example.com"],
      },
      ["spiffe://example.com/router"],
    );
    const docs = readFileSync("docs/identity.md", "utf8");
    assert.ok(docs.includes(`X-Forwarded-Client-Cert: ${text}\n`), text);
    for (const value of ['a"b', "Zoë"]) {
      const [, subject = ""] = /Subject="(.*)"$/.exec(field({ subject: subjectOf(value) })) ?? [];
      assert.ok(docs.includes(`\`${subject}\` for \`${value}\``), subject);
    }
  });

  it("quotes a URI that holds a separator", () => {
    assert.equal(field({ uris: ["urn:a,b;c=d"] }), 'Hash=5f0c;Subject="";URI="urn:a,b;c=d"');
  });

  it("says by whose word it is, once for each URI that the router's certificate has", () => {
    const by = ["spiffe://example.com/router", "urn:a,b"];
    assert.equal(field({}, by), 'By=spiffe://example.com/router;By="urn:a,b";Hash=5f0c;Subject=""');
    assert.equal(field({}, ['urn:a";Hash=b']), 'Hash=5f0c;Subject=""');
  });

  it("is not remembered for another certificate of the router's", () => {
    const client = {
      fingerprint: "5f0c",
      subject: "",
      uris: [],
      dnsNames: [],
    } as unknown as CertificateIdentity;
    assert.match(clientCertificateField(client, ["urn:one"]), /^By=urn:one;/);
    assert.match(clientCertificateField(client, ["urn:two"]), /^By=urn:two;/);
    assert.match(clientCertificateField(client, []), /^Hash=/);
  });

  it("leaves out what is no URI or host name", () => {
    const bad = ['a";URI=b', "a\\", "a b", "a\r\nx: y", "é", "", "a\0"];
    assert.equal(field({ uris: bad, dnsNames: [...bad, "a;URI=b", "a,Hash=1"] }), 'Hash=5f0c;Subject=""');
  });

  it("can't be broken out of by a subject, whatever its reader takes a backslash for", () => {
    const nasty = fc.string({
      unit: fc.constantFrom('"', "\\", ";", ",", "=", " ", "#", "a", "é", "\r", "\n", "\0"),
    });
    fc.assert(
      fc.property(fc.oneof(nasty, fc.string({ unit: "grapheme" })), (value) => {
        const text = field({ subject: subjectOf(value), dnsNames: ["d.test"] });
        assert.match(text, /^[ -~]*$/);
        for (const escapes of [/"/, /["\\]/, /^.$/, /^$/]) {
          const [hash, subject = "", dns, ...more] = parts(text, escapes);
          assert.deepEqual([hash, dns, more], ["Hash=5f0c", "DNS=d.test", []]);
          assert.equal(unescaped(subject.slice('Subject="CN='.length, -1)), value);
        }
      }),
    );
  });
});
