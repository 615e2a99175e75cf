import { describe, it } from "node:test";
import {
  basicConstraints,
  type Holder,
  intermediate,
  keyUsage,
  leaf,
  leafExtensions,
  name,
  root,
} from "../support/crafted-certificates.ts";
import {
  alternativeNames,
  type Constraints,
  constraints,
  generalName,
} from "../support/crafted-extensions.ts";
import { type Bytes, octets, seq, tlv, utf8 } from "../support/der.ts";
import { accepted, refused } from "../support/paths.ts";

const { dns, email, uri, ip, directory, other, registered } = generalName;
const constrained = (of: Constraints, critical = true): Holder =>
  root({ extensions: [basicConstraints(true), keyUsage("keyCertSign"), constraints(of, critical)] });
const holder = (issuer: Holder, ...names: readonly Bytes[]): Holder =>
  leaf(issuer, { extensions: [...leafExtensions, alternativeNames(...names)] });

interface Case {
  readonly of: Constraints;
  readonly within: readonly Bytes[];
  readonly outside: readonly Bytes[];
}

const smtpUtf8Mailbox = "1.3.6.1.5.5.7.8.9";
const cases: Readonly<Record<string, Case>> = {
  "a permitted domain": {
    of: { permitted: [dns("example.com")] },
    within: [dns("example.com"), dns("a.b.example.com"), dns("A.Example.COM"), dns("*.example.com")],
    outside: [
      dns("example.org"),
      dns("notexample.com"),
      dns("example.com.evil.org"),
      dns("*.com"),
      dns("a..example.com"),
    ],
  },
  "an excluded domain": {
    of: { excluded: [dns("secret.example.com")] },
    within: [dns("example.com"), dns("nosecret.example.com"), email("a@secret.example.com")],
    outside: [
      dns("secret.example.com"),
      dns("a.SECRET.example.com"),
      dns("*.example.com"),
      dns("*.secret.example.com"),
    ],
  },
  "no domain at all": {
    of: { excluded: [dns("")] },
    within: [uri("https://a.example.com/")],
    outside: [dns("a.example.com")],
  },
  "one of several permitted domains, less an excluded one": {
    of: { permitted: [dns("example.com"), dns("example.org")], excluded: [dns("a.example.org")] },
    within: [dns("a.example.com"), dns("b.example.org")],
    outside: [dns("a.example.org"), dns("b.a.example.org"), dns("example.net")],
  },
  "a permitted mailbox": {
    of: { permitted: [email("alice@example.com")] },
    within: [email("alice@example.com"), email("alice@EXAMPLE.com")],
    outside: [
      email("bob@example.com"),
      email("Alice@example.com"),
      email("alice@a.example.com"),
      email("no-mailbox"),
    ],
  },
  "an excluded mailbox, in every spelling": {
    of: { excluded: [email("alice@example.com")] },
    within: [email("bob@example.com")],
    outside: [email("ALICE@example.com")],
  },
  "the mailboxes of a host": {
    of: { permitted: [email("example.com")] },
    within: [email("bob@example.com")],
    outside: [email("bob@a.example.com"), email("bob@a@example.com"), email('"bob@example.com"@example.org')],
  },
  "the mailboxes below a domain": {
    of: { permitted: [email(".example.com")] },
    within: [email("bob@a.example.com")],
    outside: [email("bob@example.com")],
  },
  "mailboxes in another form": {
    of: { permitted: [email("example.com")] },
    within: [other("1.2.3.4", utf8("anything"))],
    outside: [other(smtpUtf8Mailbox, utf8("bob@example.com"))],
  },
  "URIs of a host": {
    of: { permitted: [uri("example.com")] },
    within: [
      uri("https://example.com/x"),
      uri("spiffe://example.com/team/a"),
      uri("https://u@example.com:8443"),
    ],
    outside: [
      uri("https://a.example.com/"),
      uri("https://example.com@evil.org/"),
      uri("https://evil.org/?@example.com"),
      uri("https://evil.org#@example.com"),
      uri("https://evil.org\\@example.com/"),
      uri("https://evil.org @example.com/"),
      uri("https://example.com\\.evil.org/"),
      uri("urn:example.com"),
      uri("https://192.0.2.1/"),
      uri("https://[2001:db8::1]/"),
    ],
  },
  "no URIs below a domain": {
    of: { excluded: [uri(".example.com")] },
    within: [uri("https://example.com/")],
    outside: [uri("spiffe://a.example.com/x"), uri("https://192.0.2.1/")],
  },
  "a network": {
    of: { permitted: [ip(192, 0, 2, 0, 255, 255, 255, 0)] },
    within: [ip(192, 0, 2, 77), dns("any.example.com")],
    outside: [ip(192, 0, 3, 1), ip(...new Array<number>(16).fill(0))],
  },
  "no address of the other family": {
    of: { excluded: [ip(...new Array<number>(32).fill(0))] },
    within: [ip(192, 0, 2, 1)],
    outside: [ip(0x20, 1, 0xd, 0xb8, ...new Array<number>(12).fill(1))],
  },
  "names of a directory, in the subject and beside it": {
    of: { permitted: [directory(name(["O", "Example"]))] },
    within: [directory(name(["O", "EXAMPLE"], ["CN", "x"]))],
    outside: [directory(name(["O", "Example Two"])), directory(name(["CN", "x"], ["O", "Example"]))],
  },
  "no names of a directory, whatever type of string they are written with": {
    of: { excluded: [directory(name(["O", "Evil"]))] },
    within: [directory(name(["O", "Example"]))],
    outside: [
      directory(name(["O", tlv(0x13, Buffer.from("EVIL"))])),
      directory(name(["O", tlv(0x1e, Buffer.from("\0E\0v\0i\0l"))])),
      directory(name(["O", tlv(0x1c, Buffer.from("\0\0\0E\0\0\0v\0\0\0i\0\0\0l"))])),
    ],
  },
  "forms that are not compared": {
    of: { permitted: [registered("1.2.3")] },
    within: [dns("a.example.com")],
    outside: [registered("1.2.3"), registered("1.2.4")],
  },
  "other names": {
    of: { excluded: [other("1.2.3", utf8("x"))] },
    within: [dns("a")],
    outside: [other("1.2.3", utf8("y"))],
  },
};

describe("an authority limited to", () => {
  for (const [what, { of, within, outside }] of Object.entries(cases)) {
    it(`${what} vouches for these and no others, whether critical or not`, async () => {
      for (const critical of [true, false]) {
        const authority = constrained(of, critical);
        for (const one of within) await accepted([holder(authority, one)], [authority]);
        for (const one of outside) {
          await refused([holder(authority, one)], [authority], "client_cert_unfit", /RFC 5280 §4\.2\.1\.10/);
        }
        // One good name does not make up for a bad one.
        await refused(
          [holder(authority, ...within, ...outside)],
          [authority],
          "client_cert_unfit",
          /§4\.2\.1\.10/,
        );
      }
    });
  }

  it("a directory has its holders' subjects in it", async () => {
    const authority = constrained({ permitted: [directory(name(["O", "Example"]))] });
    await accepted([leaf(authority)], [authority]);
    await refused(
      [leaf(authority, { subject: name(["O", "Other"], ["CN", "alice"]) })],
      [authority],
      "client_cert_unfit",
      /its distinguished name is not among the permitted/,
    );
  });

  it("mailboxes has those in its holders' subjects too", async () => {
    const authority = constrained({ permitted: [email("example.com")] });
    const with_ = (address: string): Holder =>
      leaf(authority, { subject: name(["CN", "alice"], ["emailAddress", tlv(0x16, Buffer.from(address))]) });
    await accepted([with_("alice@example.com")], [authority]);
    await refused([with_("alice@example.org")], [authority], "client_cert_unfit", /email address/);
  });

  it("anything limits the authorities below it, each more, and never less", async () => {
    const limits = (of: Constraints) => ({
      extensions: [basicConstraints(true), keyUsage("keyCertSign"), constraints(of)],
    });
    const top = root(limits({ permitted: [dns("example.com")] }));
    const wider = intermediate(top, limits({ permitted: [dns("com")] }));
    const closer = intermediate(top, limits({ permitted: [dns("a.example.com")] }));
    await accepted([holder(wider, dns("b.example.com")), wider], [top]);
    await refused(
      [holder(wider, dns("other.com")), wider],
      [top],
      "client_cert_unfit",
      /constraints of CN=Test Root/,
    );
    await refused(
      [holder(closer, dns("b.example.com")), closer],
      [top],
      "client_cert_unfit",
      /CN=Test Intermediate/,
    );
  });

  it("anything does not limit its own new key, but does limit a leaf of its name", async () => {
    const authority = constrained({ permitted: [directory(name(["O", "Elsewhere"]))] });
    const renewed = intermediate(authority, { subject: authority.name });
    const own = leaf(renewed, { subject: name(["O", "Elsewhere"], ["CN", "x"]) });
    await accepted([own, renewed], [authority]);
    await refused(
      [leaf(authority, { subject: authority.name })],
      [authority],
      "client_cert_unfit",
      /not among the permitted/,
    );
  });

  it("names without number is not listened to for ever", async () => {
    const many = Array.from({ length: 400 }, (_, i) => dns(`h${i}.example.com`));
    const authority = constrained({ permitted: many });
    await refused(
      [holder(authority, ...many)],
      [authority],
      "client_cert_unfit",
      /more names and constraints than are compared/,
    );
  });
});

describe("constraints that are malformed make their certificate so", () => {
  const extensionOf = (value: Bytes): Bytes => seq(tlv(0x06, [0x55, 0x1d, 0x1e]), octets(value));
  const bad: Readonly<Record<string, Bytes>> = {
    "nothing in them": seq(),
    "an empty side": seq(tlv(0xa0)),
    "a wildcard": seq(tlv(0xa0, seq(dns("*.example.com")))),
    "half an address": seq(tlv(0xa0, seq(ip(192, 0, 2, 0)))),
    "a mask with holes": seq(tlv(0xa0, seq(ip(192, 0, 2, 0, 255, 0, 255, 0)))),
    "a range": seq(tlv(0xa0, seq(dns("example.com"), tlv(0x80, [1])))),
    "two ats": seq(tlv(0xa0, seq(email("a@b@example.com")))),
  };
  for (const [what, value] of Object.entries(bad)) {
    it(what, async () => {
      const good = root();
      const issuer = intermediate(good, {
        extensions: [basicConstraints(true), keyUsage("keyCertSign"), extensionOf(value)],
      });
      const { parseCertificate } = await import("../../src/identity/certificate.ts");
      const parsed = parseCertificate(issuer.der);
      if (!("malformed" in parsed)) throw new Error("it was read");
    });
  }
});
