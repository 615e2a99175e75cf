import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { agrees, judge, type Suite } from "../conformance/limbo.ts";
import { vectors } from "../support/vectors.ts";

const limbo = vectors<Suite>("x509-limbo.json");

const commonName =
  "its common name is no alternative name, which the suite's own cn:: cases have refused (CA/B BR §7.1.4.3)";

/** Cases of the whole suite that we judge otherwise, and why: its default subject is none of these leaves' names. */
const deviations: Readonly<Record<string, string>> = {
  "webpki::nc::nc-permits-dns-san-pattern": commonName,
  "webpki::san::exact-localhost-ip-san": commonName,
  "webpki::san::leftmost-wildcard-san": commonName,
};

describe("the certificates of x509-limbo", { skip: limbo.skip }, () => {
  it("are judged as the suite has it, but for what is listed here", async () => {
    const wrong: string[] = [];
    const testcases = limbo.data?.testcases ?? [];
    for (const testcase of testcases) {
      const verdict = await judge(testcase);
      if (!agrees(testcase, verdict)) wrong.push(testcase.id);
    }
    const expected = Object.keys(deviations).filter((id) => testcases.some((one) => one.id === id));
    assert.deepEqual(wrong.sort(), expected.sort());
  });
});
