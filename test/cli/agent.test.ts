import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { agent } from "../../src/cli/agent.ts";

describe("agent", () => {
  const io = { env: {}, out: () => {}, err: () => {} };
  for (const [what, given, words] of [
    ["a name", ["--service=a=127.0.0.1:1"], /--name is missing: .*SALLYPORT_AGENT_NAME/],
    ["a service", ["--name=a"], /--service is missing: .*SALLYPORT_SERVICE_<NAME>/],
    ["a label", ["--name=A.b", "--service=a=127.0.0.1:1"], /--name "A.b": expected a name of small letters/],
    ["an address", ["--name=a", "--service=a=22"], /--service "22": expected host:port/],
    ["it once", ["--name=a", "--service=a=h:1", "--service=a=h:2"], /service a stands there twice/],
  ] as const)
    it(`needs ${what}`, async () => {
      await assert.rejects(agent.run(given, io), { name: "UsageError", message: words });
    });
});
