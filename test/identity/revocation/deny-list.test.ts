import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { type DenyList, deniedBy, parseDenyList } from "../../../src/identity/revocation/deny-list.ts";
import { leaf, root } from "../../support/crafted-certificates.ts";
import { parsed } from "../../support/paths.ts";

const client = leaf(root(), { serial: "00a1b2" });
const certificate = parsed(client);
const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function read(text: string): DenyList {
  const list = parseDenyList(text);
  if ("malformed" in list) throw new Error(list.malformed);
  return list;
}

describe("a deny list", () => {
  const entries: Readonly<Record<string, string>> = {
    "serial number": "a1b2",
    "serial number with colons and capitals": "A1:B2",
    "serial number with zeros before it": "00000a1b2",
    "SHA-256 of the certificate": hash(client.der),
    "SHA-256 of the public key": hash(client.keys.spki).toUpperCase(),
  };
  for (const [what, text] of Object.entries(entries)) {
    it(`knows a certificate by its ${what}`, async () =>
      assert.notEqual(await deniedBy(read(`# laptops\n\n  ${text}  # lost\r\n`), certificate), null));
  }

  it("knows no other", async () => {
    assert.equal(await deniedBy(read(`a1b3\n${"0".repeat(64)}\n`), certificate), null);
    assert.equal(await deniedBy(read(""), certificate), null);
  });

  it("says which line can't be read", () => {
    for (const bad of ["xyz", `${"0".repeat(65)}`, "-1"]) {
      const list = parseDenyList(`01\n${bad}\n`);
      assert.ok("malformed" in list);
      assert.match(list.malformed, /line 2: expected a serial number or a SHA-256/);
    }
  });
});
