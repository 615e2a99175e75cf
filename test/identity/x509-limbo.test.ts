import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { agrees, judge, type Suite } from "../conformance/limbo.ts";
import { vectors } from "../support/vectors.ts";

const limbo = vectors<Suite>("x509-limbo.json");

const commonName =
  "its common name is no alternative name, which the suite's own cn:: cases have refused (CA/B BR §7.1.4.3)";

/** Cases that we judge otherwise than the suite, and why. */
const deviations: Readonly<Record<string, string>> = {
  "webpki::san::exact-localhost-ip-san": commonName,
  "webpki::san::leftmost-wildcard-san": commonName,
};

describe("the certificates of x509-limbo", { skip: limbo.skip }, () => {
  it("are judged as the suite has it, but for what is listed here", async () => {
    const wrong: string[] = [];
    for (const testcase of limbo.data?.testcases ?? []) {
      const verdict = await judge(testcase);
      if (!agrees(testcase, verdict)) wrong.push(testcase.id);
    }
    assert.deepEqual(wrong.sort(), Object.keys(deviations).sort());
  });
});
