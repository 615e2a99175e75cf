import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Admission, connectionRoom } from "../../src/core/admission.ts";
import { Refusal } from "../../src/errors.ts";

const never = (): void => assert.fail("nobody was to be evicted");
const refused = (error: unknown): boolean => error instanceof Refusal && error.reason === "limit_reached";

describe("the room for connections", () => {
  it("is two files each, some kept back, and never none", () => {
    assert.equal(connectionRoom({ limit: 1024, open: 20 }), 486);
    assert.equal(connectionRoom({ limit: 40, open: 20 }), 1);
  });
});

describe("admission", () => {
  it("counts in and out", () => {
    const admission = new Admission({ connections: 2, perSource: 2, perIdentity: 1 });
    const [a, b] = [admission.enter(never), admission.enter(never)];
    a.established();
    b.established();
    assert.throws(() => admission.enter(never), refused);
    a.leave();
    admission.enter(never).leave();
    b.leave();
  });

  it("lets the oldest half-open connection give way, never an established one", () => {
    const admission = new Admission({ connections: 3, perSource: 3, perIdentity: 1 });
    const evicted: string[] = [];
    const enter = (name: string) => admission.enter(() => void evicted.push(name));
    enter("first").established();
    enter("second");
    enter("third");
    enter("fourth");
    enter("fifth");
    assert.deepEqual(evicted, ["second", "third"]);
  });

  it("holds one source to its cap and leaves others alone", () => {
    const admission = new Admission({ connections: 10, perSource: 1, perIdentity: 1 });
    const one = admission.enter(never);
    one.enterSource("192.0.2.1");
    one.established();
    const two = admission.enter(never);
    assert.throws(() => two.enterSource("192.0.2.1"), refused);
    two.enterSource("192.0.2.2");
    one.leave();
    const three = admission.enter(never);
    three.enterSource("192.0.2.1");
  });

  it("holds one identity to its cap", () => {
    const admission = new Admission({ connections: 10, perSource: 10, perIdentity: 1 });
    const [one, two] = [admission.enter(never), admission.enter(never)];
    one.enterIdentity("key");
    assert.throws(() => two.enterIdentity("key"), refused);
    one.leave();
    two.enterIdentity("key");
  });
});
