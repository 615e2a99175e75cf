import { describe, it } from "node:test";
import type { Profile } from "../../src/identity/profile.ts";
import {
  basicConstraints,
  extendedKeyUsage,
  extension,
  type Holder,
  intermediate,
  keyUsage,
  leaf,
  leafExtensions,
  name,
  nameConstraints,
  root,
  subjectAltName,
} from "../support/crafted-certificates.ts";
import { alternativeNames, generalName } from "../support/crafted-extensions.ts";
import { seq } from "../support/der.ts";
import { accepted, refused } from "../support/paths.ts";

const { dns } = generalName;
const anchor = root();
const issuing = [basicConstraints(true), keyUsage("keyCertSign")];
const through = (issuer: Holder): readonly Holder[] => [leaf(issuer), issuer];
const named = (commonName: string, ...names: readonly string[]): Holder =>
  leaf(anchor, {
    subject: name(["CN", commonName]),
    extensions: [...leafExtensions, alternativeNames(...names.map(dns))],
  });

interface Case {
  readonly chain: readonly Holder[];
  readonly anchor?: Holder;
  readonly from: Profile;
  readonly detail: RegExp;
}

const cases: Readonly<Record<string, Case>> = {
  "a leaf that does not name its issuer's key": {
    chain: [leaf(anchor, { without: "2.5.29.35" })],
    from: "rfc5280",
    detail: /authority key identifier \(RFC 5280 §4\.2\.1\.1\)/,
  },
  "an authority that does not name its own key": {
    chain: through(intermediate(anchor, { without: "2.5.29.14" })),
    from: "rfc5280",
    detail: /subject key identifier \(RFC 5280 §4\.2\.1\.2\)/,
  },
  "basic constraints that are not critical": {
    chain: through(
      intermediate(anchor, {
        extensions: [basicConstraints(true, undefined, false), keyUsage("keyCertSign")],
      }),
    ),
    from: "rfc5280",
    detail: /§4\.2\.1\.9/,
  },
  "an authority without a key usage": {
    chain: through(intermediate(anchor, { extensions: [basicConstraints(true)] })),
    from: "rfc5280",
    detail: /§4\.2\.1\.3/,
  },
  "a DNS name with an underscore": {
    chain: [named("a_b.example.com", "a_b.example.com")],
    from: "rfc5280",
    detail: /no host's \(RFC 5280 §4\.2\.1\.6\)/,
  },
  "an authorityInfoAccess that is none": {
    chain: [leaf(anchor, { extensions: [...leafExtensions, extension("1.3.6.1.5.5.7.1.1", seq())] })],
    from: "rfc5280",
    detail: /§4\.2\.2\.1/,
  },
  "a constraint with a dot before it": {
    chain: through(intermediate(anchor, { extensions: [...issuing, nameConstraints(".example.com", true)] })),
    from: "rfc5280",
    detail: /with a dot before it/,
  },
  "a common name that is no alternative name": {
    chain: [named("alice", "a.example.com")],
    from: "webpki",
    detail: /common name/,
  },
  "an alternative name that is critical beside a subject": {
    chain: [
      leaf(anchor, {
        subject: name(["CN", "a.example.com"]),
        extensions: [...leafExtensions, subjectAltName({ dns: ["a.example.com"] }, true)],
      }),
    ],
    from: "webpki",
    detail: /that is critical beside a subject/,
  },
  "no alternative name": { chain: [leaf(anchor)], from: "webpki", detail: /no subject alternative name/ },
  "a root with an extended key usage": {
    chain: [],
    anchor: root({ extensions: [...issuing, extendedKeyUsage("clientAuth")] }),
    from: "webpki",
    detail: /a root with an extended key usage/,
  },
};

describe("what a profile demands", () => {
  for (const [what, { chain, anchor: other, from, detail }] of Object.entries(cases)) {
    const anchors = [other ?? anchor];
    const sent = chain.length > 0 ? chain : [leaf(anchors[0] ?? anchor)];
    it(`${what}: ${from} refuses it, private does not`, async () => {
      await accepted(sent, anchors);
      await refused(sent, anchors, "client_cert_unfit", detail, { profile: from });
      if (from === "webpki") await accepted(sent, anchors, { profile: "rfc5280" });
    });
  }

  it("is kept by certificates as they should be", async () => {
    const middle = intermediate(anchor);
    const good = leaf(middle, {
      subject: name(["CN", "a.example.com"]),
      extensions: [...leafExtensions, alternativeNames(dns("a.example.com"), dns("*.example.com"))],
    });
    for (const profile of ["private", "rfc5280", "webpki"] as const)
      await accepted([good, middle], [anchor], { profile });
  });

  it("about name constraints is that they are critical, which the web does without", async () => {
    const issuer = intermediate(anchor, { extensions: [...issuing, nameConstraints("example.com", false)] });
    const chain = [
      leaf(issuer, {
        subject: name(["CN", "a.example.com"]),
        extensions: [...leafExtensions, alternativeNames(dns("a.example.com"))],
      }),
      issuer,
    ];
    await accepted(chain, [anchor], { profile: "webpki" });
    await refused(chain, [anchor], "client_cert_unfit", /not critical/, { profile: "rfc5280" });
  });
});
