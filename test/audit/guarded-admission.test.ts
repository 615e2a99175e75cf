import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { whereRecorded } from "../../src/audit/guarded-admission.ts";
import { Admission } from "../../src/core/admission.ts";
import { Refusal } from "../../src/errors.ts";

describe("connections of which there might be no record", () => {
  it("are refused for as long as that is so", async () => {
    let full = false;
    const admission = whereRecorded(
      new Admission({ connections: 5, perSource: 5, perIdentity: 5 }),
      () => full,
    );
    const place = await admission.enter(() => {});
    full = true;
    assert.throws(
      () => admission.enter(() => {}),
      (error) =>
        error instanceof Refusal &&
        error.reason === "limit_reached" &&
        /SALLYPORT_AUDIT_FULL/.test(error.message),
    );
    // Who is in may stay.
    place.established();
    full = false;
    (await admission.enter(() => {})).leave();
    place.leave();
  });
});
