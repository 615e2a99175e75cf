import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  basicConstraints,
  certify,
  dayMs,
  extendedKeyUsage,
  extension,
  type Holder,
  hourMs,
  intermediate,
  type KeyKind,
  keyUsage,
  leaf,
  leafExtensions,
  name,
  newKeys,
  type Plan,
  root,
  type SignatureKind,
  subjectAltName,
} from "../support/crafted-certificates.ts";
import { bits, oid, seq } from "../support/der.ts";
import { accepted, refused } from "../support/paths.ts";

const anchor = root();
const middle = intermediate(anchor);
const leafWith = (...extensions: Parameters<typeof certify>[1]["extensions"] & object): Holder =>
  leaf(anchor, { extensions });

// Deno can check P-521 but its node:crypto can't sign with it: this pair was made elsewhere, valid on that day.
const p521 = {
  at: Date.UTC(2026, 10, 23, 14, 30),
  anchor: Buffer.from(
    "MIICBTCCAWagAwIBAgIEAQAAATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlUZXN0IFJvb3QwHhcNMjYxMTIzMTI0NjQwWhcN" +
      "MjYxMTI0MTM0NjQwWjAUMRIwEAYDVQQDDAlUZXN0IFJvb3QwgZswEAYHKoZIzj0CAQYFK4EEACMDgYYABADblFM/QaX+k8hx" +
      "UPMaXMhQTtCCGMxAoX3N4ryLEGAupOubTTMWeQwTpxD2/YadEY7+nh9/F9JZxP+mfEabYrPd/QBlcj2O43DBWRvU06pOsu23" +
      "DkyX/in/0ajKpbbwPQo9PnciSy5T1xZCknd3YTHwU8zq8n+pdRbyS1a7BiP7kbJr/aNjMGEwHQYDVR0OBBYEFI+LZyG+d2cs" +
      "T/Z7+bNj8CeW2GSLMB8GA1UdIwQYMBaAFI+LZyG+d2csT/Z7+bNj8CeW2GSLMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/" +
      "BAQDAgEGMAoGCCqGSM49BAMCA4GMADCBiAJCAU0SinapAOMQyHqdY45pghdGMJu/U/t+WhxVu6Dnvq6fxCI53hpqFsoVsHbG" +
      "S9cFOE4IumS56+ZIjKz/n/LoKXHpAkIBRXB25ix7lDE+05HbJ8U6N3OpZHPh00380As50qZ1A7a60sCzJ9WqJYINlv4Bofcr" +
      "Lkz05vtHVKmnflH4SS0TKwo=",
    "base64",
  ),
  leaf: Buffer.from(
    "MIIB9TCCAVagAwIBAgIEAQAABDAKBggqhkjOPQQDBDAUMRIwEAYDVQQDDAlUZXN0IFJvb3QwHhcNMjYxMTIzMTI0NjQwWhcN" +
      "MjYxMTI0MTM0NjQwWjA1MRAwDgYDVQQKDAdFeGFtcGxlMREwDwYDVQQLDAhwYXltZW50czEOMAwGA1UEAwwFYWxpY2UwWTAT" +
      "BgcqhkjOPQIBBggqhkjOPQMBBwNCAATKQe8RCPTjAiPFDZEvpkdufSgU5Af6ZyISwNRie50OnCO3AOCFK1yltdGO6Ms1QOqt" +
      "ue1JOt7vY+ExuIeennTwo3UwczAdBgNVHQ4EFgQUB/0zpnQf3o9fbKhrfQESm/2xyNcwHwYDVR0jBBgwFoAUj4tnIb53ZyxP" +
      "9nv5s2PwJ5bYZIswDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAwwCgYIKwYBBQUHAwIwCgYIKoZIzj0E" +
      "AwQDgYwAMIGIAkIB2R5uwZXUN8I0dl1+x26QmRAir6mCoCl20t+xoaJJvxxZQ855PBIBz1yu8lwn9npGZANEhMYS7A0ydUtw" +
      "psG53aACQgHS4njXVa2WCoywZRJkJo2Ad9XG9+T/FjxTevusVY+ZMlUpv7uwMN0mze8tdCTkJN2w5EjnxLSqCA3VbtCUn0gO" +
      "QQ==",
    "base64",
  ),
};

describe("a path from a client certificate to an anchor", () => {
  it("is found straight to the anchor", async () => {
    const { path } = await accepted([leaf(anchor)], [anchor]);
    assert.equal(path.length, 2);
  });

  it("is found through an intermediate, with the root sent or not", async () => {
    const client = leaf(middle);
    assert.equal((await accepted([client, middle], [anchor])).path.length, 3);
    assert.equal((await accepted([client, middle, anchor], [anchor])).path.length, 3);
  });

  it("is found whatever the order of the intermediates, with duplicates and strangers among them", async () => {
    const lower = intermediate(middle, { subject: name(["CN", "Lower"]) });
    const stranger = intermediate(root({ subject: name(["CN", "Stranger"]) }));
    const chain = [leaf(lower), stranger, middle, middle, lower, stranger, lower];
    assert.equal((await accepted(chain, [anchor])).path.length, 4);
  });

  it("may end at an intermediate that is an anchor itself", async () => {
    assert.equal((await accepted([leaf(middle)], [middle])).path.length, 2);
  });

  it("is found past another authority of the same name", async () => {
    const namesake = root();
    await accepted([leaf(anchor)], [namesake, anchor]);
  });

  it("is found by the way round an expired cross-certificate", async () => {
    const keys = newKeys();
    const other = root({ subject: name(["CN", "Other Root"]) });
    const expired = intermediate(other, {
      keys,
      notBefore: Date.now() - 2 * dayMs,
      notAfter: Date.now() - dayMs,
    });
    const good = intermediate(anchor, { keys });
    await accepted([leaf({ ...good }), expired, good], [other, anchor]);
  });

  it("says when the whole of it is valid", async () => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const short = intermediate(anchor, { notBefore: now - hourMs / 2, notAfter: now + hourMs });
    const result = await accepted([leaf(short), short], [anchor]);
    assert.equal(result.notBefore, now - hourMs / 2);
    assert.equal(result.notAfter, now + hourMs + 999);
  });

  it("survives loops of authorities that certify each other", async () => {
    const a = root({ subject: name(["CN", "A"]) });
    const b = root({ subject: name(["CN", "B"]) });
    const ab = intermediate(a, { subject: b.name, keys: b.keys });
    const ba = intermediate(b, { subject: a.name, keys: a.keys });
    await refused([leaf(b), ab, ba, a, b], [anchor], "client_cert_untrusted", /no path/);
  });

  it("is given up on after a bounded number of signatures", async () => {
    const namesakes = Array.from({ length: 40 }, () => intermediate(root(), { subject: middle.name }));
    await refused([leaf(middle), ...namesakes], [anchor], "client_cert_untrusted", /gave up after 32/);
  });

  describe("among 1,000 useless intermediates", () => {
    const { name: subject, keys } = middle;
    const stranger = root({ subject: name(["CN", "Stranger"]) });
    const crowdOf = (make: (i: number) => Holder): Holder[] =>
      Array.from({ length: 1000 }, (_, i) => make(i));
    const crowds: Readonly<Record<string, () => Holder[]>> = {
      "that are one and the same": () => new Array<Holder>(1000).fill(intermediate(stranger)),
      "of other names": () =>
        crowdOf((i) => intermediate(stranger, { subject: name(["CN", `Useless ${i}`]), keys })),
      "of the right one's name and key that it issued itself": () =>
        crowdOf(() => intermediate(middle, { subject, keys })),
      "of its name and key, each issued by somebody unknown": () =>
        crowdOf((i) => intermediate(stranger, { subject, keys, issuer: name(["CN", `Unknown ${i}`]) })),
      "of its name and key that issued each other": () =>
        crowdOf((i) =>
          i % 2 === 0
            ? intermediate(stranger, { subject, keys })
            : intermediate(middle, { subject: stranger.name, keys: stranger.keys }),
        ),
      "of its name and key that expired": () =>
        crowdOf(() =>
          intermediate(anchor, {
            subject,
            keys,
            notBefore: Date.now() - dayMs,
            notAfter: Date.now() - hourMs,
          }),
        ),
      "of its name and key that are for other purposes": () =>
        crowdOf(() =>
          intermediate(anchor, {
            subject,
            keys,
            extensions: [basicConstraints(true), keyUsage("keyCertSign"), extendedKeyUsage("serverAuth")],
          }),
        ),
    };
    for (const [which, crowd] of Object.entries(crowds)) {
      it(`${which} it is found`, async () => {
        const useless = crowd();
        await accepted([leaf(middle), ...useless, middle], [anchor]);
      });
    }

    it("it is not found where there is none, and without much ado", async () => {
      const useless = crowdOf(() => intermediate(middle, { subject, keys }));
      await refused([leaf(middle), ...useless], [anchor], "client_cert_untrusted", /no path/);
    });
  });
});

describe("trust", () => {
  it("is refused to another authority's certificates", async () => {
    await refused([leaf(root())], [anchor], "client_cert_untrusted", /its signature is not its issuer's/);
  });

  it("is refused to a chain that brings its own root", async () => {
    const own = root({ subject: name(["CN", "Own"]) });
    await refused([leaf(own), own], [anchor], "client_cert_untrusted", /no path to a trusted authority/);
  });

  it("is refused to a self-signed certificate, and to one that is an anchor itself", async () => {
    const own = certify(null, { extensions: leafExtensions });
    await refused([own], [anchor], "client_cert_untrusted", /no path/);
    await refused([own], [own], "client_cert_untrusted", /no path/);
  });

  it("is refused without anchors", async () => {
    await refused([leaf(anchor), anchor], [], "client_cert_untrusted", /no path/);
  });

  it("is refused when one bit of the signature is another", async () => {
    await refused(
      [leaf(anchor, { tampered: true })],
      [anchor],
      "client_cert_untrusted",
      /§6\.1\.3 \(a\)\(1\)/,
    );
    const bad = intermediate(anchor, { tampered: true });
    await refused([leaf(bad), bad], [anchor], "client_cert_untrusted", /Test Intermediate.*§6\.1\.3/);
  });

  it("is refused when the two signature algorithms differ", async () => {
    await refused(
      [leaf(anchor, { outer: "ecdsa-sha384" })],
      [anchor],
      "client_cert_untrusted",
      /two signature algorithms differ \(RFC 5280 §4\.1\.1\.2\)/,
    );
  });

  it("is refused when the intermediate that joins leaf and anchor is missing", async () => {
    await refused([leaf(middle)], [anchor], "client_cert_untrusted", /no path/);
  });

  it("tells who is not trusted nothing about other rules", async () => {
    const own = root({ subject: name(["CN", "Own"]) });
    const bad = leaf(own, { notAfter: Date.now() - hourMs, extensions: [] });
    await refused([bad, own], [anchor], "client_cert_untrusted", /no path/);
  });
});

describe("signatures", () => {
  const kinds: readonly (readonly [KeyKind, readonly SignatureKind[]])[] = [
    ["P-256", ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"]],
    ["P-384", ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"]],
    ["RSA-2048", ["rsa-sha256", "rsa-sha384", "rsa-sha512", "pss-sha256", "pss-sha384"]],
    ["Ed25519", ["ed25519"]],
  ];
  const weak: readonly (readonly [KeyKind, readonly SignatureKind[], RegExp])[] = [
    ["P-256", ["ecdsa-sha1"], /signature algorithm \(1\.2\.840\.10045\.4\.1\) is not accepted/],
    [
      "RSA-2048",
      ["rsa-sha1", "rsa-md5"],
      /signature algorithm \(1\.2\.840\.113549\.1\.1\.[45]\) is not accepted/,
    ],
    ["RSA-1024", ["rsa-sha256"], /1024 bits, fewer than 2048/],
  ];

  for (const [kind, signatures] of kinds) {
    it(`by ${kind} keys hold: ${signatures.join(", ")}`, async () => {
      const authority = root({ keys: newKeys(kind) });
      for (const signature of signatures) await accepted([leaf(authority, { signature })], [authority]);
    });
    it(`by ${kind} keys don't hold once a bit is turned: ${signatures.join(", ")}`, async () => {
      const authority = root({ keys: newKeys(kind) });
      for (const signature of signatures) {
        const client = leaf(authority, { signature, tampered: true });
        await refused([client], [authority], "client_cert_untrusted", /its signature is not its issuer's/);
      }
    });
  }

  it("by P-521 keys hold", async () => {
    await accepted([{ der: p521.leaf }], [{ der: p521.anchor }], { now: p521.at });
  });

  for (const [kind, signatures, detail] of weak) {
    it(`by ${kind} keys are refused: ${signatures.join(", ")}`, async () => {
      const authority = root({ keys: newKeys(kind) });
      for (const signature of signatures) {
        await refused([leaf(authority, { signature })], [authority], "client_cert_untrusted", detail);
      }
    });
  }

  it("of a leaf whose own RSA key is weak are refused as unfit", async () => {
    await refused([leaf(anchor, { keys: newKeys("RSA-1024") })], [anchor], "client_cert_unfit", /1024 bits/);
  });

  it("hold by no key whose point is compressed, or beside its curve", async () => {
    const keys = newKeys();
    const point = keys.spki.subarray(-65);
    const curve = seq(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"));
    const with_ = (...bytes: number[]) => ({ ...keys, spki: seq(curve, bits(Uint8Array.from(bytes))) });
    const compressed = with_(2 + ((point[64] ?? 0) & 1), ...point.subarray(1, 33));
    await refused(
      [leaf(anchor, { keys: compressed })],
      [anchor],
      "client_cert_unfit",
      /no uncompressed point/,
    );
    const beside = with_(...point.subarray(0, 64), (point[64] ?? 0) ^ 1);
    for (const spki of [compressed, beside, with_(0)]) {
      const authority = root({ keys: spki });
      await refused([leaf(authority)], [authority], "client_cert_untrusted", /issuer/);
    }
  });
});

describe("dates", () => {
  const now = Math.floor(Date.now() / 1000) * 1000;
  const past: Plan = { notBefore: now - 2 * dayMs, notAfter: now - dayMs };
  const future: Plan = { notBefore: now + dayMs, notAfter: now + 2 * dayMs };

  it("end for an expired leaf", async () => {
    await refused([leaf(anchor, past)], [anchor], "client_cert_expired", /^CN=alice.*expired at 20/);
  });

  it("have not begun for one that is not valid yet", async () => {
    await refused([leaf(anchor, future)], [anchor], "client_cert_expired", /^CN=alice.*not valid before 20/);
  });

  it("count for intermediates and anchors too", async () => {
    for (const plan of [past, future]) {
      const old = intermediate(anchor, plan);
      await refused([leaf(old), old], [anchor], "client_cert_expired", /^CN=Test Intermediate/);
      const gone = root(plan);
      await refused([leaf(gone)], [gone], "client_cert_expired", /^CN=Test Root/);
    }
  });

  it("include their first and last instant, and not a millisecond more", async () => {
    const client = leaf(anchor, { notBefore: now - 1000, notAfter: now + 1000 });
    await accepted([client], [anchor], { now: now - 1000 });
    // The last second is valid to its end.
    await accepted([client], [anchor], { now: now + 1999 });
    await refused([client], [anchor], "client_cert_expired", /not valid before/, { now: now - 1001 });
    await refused([client], [anchor], "client_cert_expired", /expired at/, { now: now + 2000 });
  });
});

describe("a leaf", () => {
  it("that is an authority is unfit", async () => {
    const posing = leafWith(
      basicConstraints(true),
      keyUsage("digitalSignature", "keyCertSign"),
      extendedKeyUsage("clientAuth"),
    );
    await refused([posing], [anchor], "client_cert_unfit", /an authority's certificate.*§4\.2\.1\.9/);
  });

  it("that may sign certificates without being an authority is unfit", async () => {
    const odd = leafWith(
      basicConstraints(false),
      keyUsage("digitalSignature", "keyCertSign"),
      extendedKeyUsage("clientAuth"),
    );
    await refused([odd], [anchor], "client_cert_unfit", /may sign certificates/);
  });

  it("for servers alone, for everything, or for nothing in particular is unfit", async () => {
    for (const purpose of [[extendedKeyUsage("serverAuth")], [extendedKeyUsage("any")], []]) {
      const other = leafWith(basicConstraints(false), keyUsage("digitalSignature"), ...purpose);
      await refused([other], [anchor], "client_cert_unfit", /lacks clientAuth \(RFC 5280 §4\.2\.1\.12\)/);
    }
  });

  it("for clients is unfit for a server", async () => {
    const client = leaf(anchor);
    await refused([client], [anchor], "client_cert_unfit", /lacks serverAuth/, { purpose: "server" });
    const both = leafWith(extendedKeyUsage("clientAuth", "serverAuth"));
    await accepted([both], [anchor], { purpose: "server" });
  });

  it("whose key may not sign is unfit, one without key usage is not", async () => {
    const mute = leafWith(keyUsage("keyEncipherment"), extendedKeyUsage("clientAuth"));
    await refused([mute], [anchor], "client_cert_unfit", /lacks digitalSignature \(RFC 5280 §4\.2\.1\.3\)/);
    await accepted([leafWith(extendedKeyUsage("clientAuth"))], [anchor]);
  });

  it("of version 1 is unfit", async () => {
    await refused([leaf(anchor, { version: 1 })], [anchor], "client_cert_unfit", /version 3/);
  });

  it("with an unknown critical extension is unfit, with one that is not critical it is not", async () => {
    const with_ = (critical: boolean): Holder =>
      leafWith(...leafExtensions, extension("1.3.6.1.4.1.99999.1", Uint8Array.of(5, 0), critical));
    await refused(
      [with_(true)],
      [anchor],
      "client_cert_unfit",
      /critical extension.*1\.3\.6\.1\.4\.1\.99999\.1/,
    );
    await accepted([with_(false)], [anchor]);
  });

  it("with a serial number that is zero, negative or too long is unfit", async () => {
    for (const serial of ["00", "ff", `01${"00".repeat(20)}`]) {
      await refused(
        [leaf(anchor, { serial })],
        [anchor],
        "client_cert_unfit",
        /serial number is out of range/,
      );
    }
    await accepted([leaf(anchor, { serial: `7f${"00".repeat(19)}` })], [anchor]);
  });

  it("without a subject needs a critical subjectAltName", async () => {
    const anonymous = (critical: boolean): Holder =>
      leaf(anchor, {
        subject: name(),
        extensions: [...leafExtensions, subjectAltName({ dns: ["a.example.com"] }, critical)],
      });
    await accepted([anonymous(true)], [anchor]);
    await refused([anonymous(false)], [anchor], "client_cert_unfit", /empty subject.*§4\.1\.2\.6/);
  });
});

describe("an issuer", () => {
  const clientBelow = (plan: Plan): readonly [Holder, Holder] => {
    const issuer = intermediate(anchor, plan);
    return [leaf(issuer), issuer];
  };

  it("must be an authority: a leaf can't issue", async () => {
    const holder = leaf(anchor);
    await refused(
      [leaf(holder), holder],
      [anchor],
      "client_cert_unfit",
      /is no authority \(RFC 5280 §6\.1\.4 \(k\)\)/,
    );
    await refused(clientBelow({ extensions: [] }), [anchor], "client_cert_unfit", /is no authority/);
  });

  it("that is a leaf can't issue even where its key usage says it might", async () => {
    const issuer = [basicConstraints(false), keyUsage("keyCertSign"), extendedKeyUsage("clientAuth")];
    await refused(clientBelow({ extensions: issuer }), [anchor], "client_cert_unfit", /is no authority/);
  });

  it("must be allowed to sign certificates", async () => {
    const extensions = [basicConstraints(true), keyUsage("cRLSign")];
    await refused(
      clientBelow({ extensions }),
      [anchor],
      "client_cert_unfit",
      /lacks keyCertSign \(RFC 5280 §6\.1\.4 \(n\)\)/,
    );
    const mute = root({ extensions });
    await refused([leaf(mute)], [mute], "client_cert_unfit", /lacks keyCertSign/);
  });

  it("must be of version 3", async () => {
    await refused(clientBelow({ version: 1 }), [anchor], "client_cert_unfit", /version 3/);
  });

  it("limited to other purposes can't issue for clients; one for any purpose can", async () => {
    const limited = (purpose: "serverAuth" | "clientAuth" | "any"): Plan => ({
      extensions: [basicConstraints(true), keyUsage("keyCertSign"), extendedKeyUsage(purpose)],
    });
    await refused(
      clientBelow(limited("serverAuth")),
      [anchor],
      "client_cert_unfit",
      /Test Intermediate.*lacks clientAuth/,
    );
    await accepted(clientBelow(limited("clientAuth")), [anchor]);
    await accepted(clientBelow(limited("any")), [anchor]);
  });

  it("keeps within its path length", async () => {
    const flat = root({ extensions: [basicConstraints(true, 0), keyUsage("keyCertSign")] });
    await accepted([leaf(flat)], [flat]);
    const below = intermediate(flat);
    await refused(
      [leaf(below), below],
      [flat],
      "client_cert_unfit",
      /limit of 0 \(RFC 5280 §6\.1\.4 \(m\)\)/,
    );
    const flatMiddle = intermediate(anchor, {
      extensions: [basicConstraints(true, 0), keyUsage("keyCertSign")],
    });
    const lower = intermediate(flatMiddle, { subject: name(["CN", "Lower"]) });
    await refused([leaf(lower), lower, flatMiddle], [anchor], "client_cert_unfit", /limit of 0/);
  });

  it("does not count self-issued certificates towards its path length", async () => {
    const one = root({ extensions: [basicConstraints(true, 0), keyUsage("keyCertSign")] });
    const rolledOver = intermediate(one, { subject: one.name });
    await accepted([leaf(rolledOver), rolledOver], [one]);
  });

  it("has a serial number within its bounds; an anchor vouches by its key whatever its number", async () => {
    await refused(
      clientBelow({ serial: "00" }),
      [anchor],
      "client_cert_unfit",
      /Intermediate: its serial number/,
    );
    const old = root({ serial: "00" });
    await accepted([leaf(old)], [old]);
  });

  it("has a name", async () => {
    const nameless = root({ subject: name() });
    await refused([leaf(nameless)], [nameless], "client_cert_unfit", /an issuer without a name/);
  });

  it("is not found eight authorities away", async () => {
    let issuer = anchor;
    const chain: Holder[] = [];
    for (let i = 0; i < 8; i++) {
      issuer = intermediate(issuer, { subject: name(["CN", `Level ${i}`]) });
      chain.unshift(issuer);
    }
    await refused([leaf(issuer), ...chain], [anchor], "client_cert_untrusted", /no path/);
    const six = chain[2];
    assert.ok(six !== undefined);
    await accepted([leaf(six), ...chain], [anchor]);
  });
});

describe("a purpose that is neither a client's nor a server's", () => {
  const mail = "1.3.6.1.5.5.7.3.4";
  const forMail = extension("2.5.29.37", seq(oid(mail)));
  const asked = { purpose: "other", extendedKeyUsage: [mail] } as const;

  it("is what is asked for, of all that are limited", async () => {
    await accepted([leafWith(...leafExtensions.slice(0, 2), forMail)], [anchor], asked);
    await refused([leaf(anchor)], [anchor], "client_cert_unfit", /lacks 1\.3\.6\.1\.5\.5\.7\.3\.4/, asked);
    const limited = intermediate(anchor, {
      extensions: [basicConstraints(true), keyUsage("keyCertSign"), extendedKeyUsage("clientAuth")],
    });
    const below = leaf(limited, { extensions: [...leafExtensions.slice(0, 2), forMail] });
    await refused([below, limited], [anchor], "client_cert_unfit", /Test Intermediate.*lacks/, asked);
  });
});
