import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { revocationList } from "../../src/authority/crl.ts";
import { keyKinds } from "../../src/authority/keys.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { goVerdicts, skipWithoutGo } from "../support/go.ts";

const hourMs = 3_600_000;

describe("what the authority makes", { skip: skipWithoutGo }, () => {
  it("is accepted by Go, whatever the keys are made of", async () => {
    const questions = [];
    for (const algorithm of keyKinds) {
      const rootFiles = await createAuthority("Root", { algorithm, authoritiesBelow: 1 });
      const root = await Authority.open(rootFiles);
      const files = await root.authority("Issuing", { algorithm, permitted: { dns: ["example.com"] } });
      const issuing = await Authority.open(files, { above: root.chain });
      const limits = { sources: ["10.0.0.0/8"], routes: ["orders"] };
      const person = { commonName: "alice", groups: ["ops"], dnsNames: ["a.example.com"] };
      const { cert } = await issuing.client(person, hourMs, Date.now(), { algorithm, limits });
      const [leaf = new Uint8Array(0), ...intermediates] = certificatesFromPem(cert);
      const revoked = { serial: "0a", at: Date.now(), reason: "superseded", expires: null } as const;
      const list = await revocationList(issuing, [revoked], hourMs);
      const crl = Buffer.from(list.replace(/-----[^-]+-----|\s/g, ""), "base64");
      questions.push({ roots: certificatesFromPem(rootFiles.cert), intermediates, leaf, crl });
    }
    assert.deepEqual(
      goVerdicts(questions),
      questions.map(() => null),
    );
  });
});
