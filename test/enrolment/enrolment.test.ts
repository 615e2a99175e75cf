import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Enrolment } from "../../src/enrolment/enrolment.ts";
import { IdTokens } from "../../src/enrolment/id-token.ts";
import type { JoinTokenRecord } from "../../src/enrolment/join-token.ts";
import { newJoinToken } from "../../src/enrolment/join-token.ts";
import { Rate } from "../../src/enrolment/rate.ts";
import type { CertificateRecord } from "../../src/enrolment/record.ts";
import { EnrolmentRefusal } from "../../src/enrolment/refusal.ts";
import { createLog } from "../../src/observe/log.ts";
import { make } from "../support/pki.ts";
import { certificationRequest } from "../support/requests.ts";

const token: JoinTokenRecord = {
  person: { commonName: "alice", groups: [], emails: [], dnsNames: [], uris: [] },
  lifetimeMs: 3_600_000,
  limits: { routes: ["orders"] },
  expires: Date.now() + 3_600_000,
};

describe("a join token", () => {
  it("is not used up where the authority fails, and its limits reach the authority", async () => {
    const done: string[] = [];
    const records: CertificateRecord[] = [];
    const logged: string[] = [];
    let fails = true;
    const enrolment = new Enrolment({
      issuer: {
        chain: [],
        crl: async () => "",
        issueClient: async ({ limits, person, lifetimeMs }) => {
          if (fails) throw new Error("out of order: /secret/path");
          done.push(`issue ${person.commonName} ${lifetimeMs} ${JSON.stringify(limits)}`);
          const { cert } = await make({});
          return { certificate: cert, chain: [], serial: "1", expires: new Date().toISOString() };
        },
      },
      tokens: {
        find: async () => ({ record: token, spent: false }),
        spend: async () => {
          done.push("spend");
          return true;
        },
      },
      issued: {
        find: async () => null,
        save: async (serial, { limits }) => {
          done.push(`save ${serial} ${JSON.stringify(limits)}`);
        },
      },
      ssh: async () => null,
      idTokens: new IdTokens([]),
      lifetimeMs: 1,
      renewalSpanMs: 1,
      verify: () => Promise.reject(new Error("not asked for")),
      perSource: 10,
      perIdentity: 10,
      rate: (perMinute, what) => new Rate(perMinute, what),
      audit: (record) => void records.push(record),
      log: createLog({ write: (line) => void logged.push(line), close: async () => {} }, "text", "info"),
    });
    const ask = async () => {
      const body = { csr: await certificationRequest(), join_token: newJoinToken() };
      const source = { address: "192.0.2.1", port: 1 };
      return await enrolment.issue(body, { source, presented: null });
    };
    await assert.rejects(ask(), (error) => {
      assert.ok(error instanceof EnrolmentRefusal && error.status === 500);
      return !error.message.includes("/secret");
    });
    assert.deepEqual(done, []);
    assert.match(logged.join(""), /out of order/);
    assert.deepEqual([records[0]?.outcome, records[0]?.identity?.name], ["failed", "alice"]);
    fails = false;
    await ask();
    const limits = '{"routes":["orders"]}';
    // 4242, as the certificate has it.
    assert.deepEqual(done, [`issue alice 3600000 ${limits}`, "spend", `save 4242 ${limits}`]);
  });
});
