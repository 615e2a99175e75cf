import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { issuedRecordFiles } from "../../src/runtime/issued-records.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-issued-"));
after(() => rmSync(folder, { recursive: true, force: true }));

describe("records of certificates", () => {
  it("are found by another router, and for a day after the certificate has expired", async () => {
    const now = Date.now();
    const record = {
      lifetimeMs: 3_600_000,
      renewableUntil: now,
      limits: { routes: ["orders"] },
      expires: now + 1000,
    };
    await issuedRecordFiles(folder).save("4a2b", record, now);
    const other = issuedRecordFiles(folder);
    assert.deepEqual(await other.find("4a2b"), record);
    assert.equal(await other.find("4a2c"), null);
    assert.equal(statSync(join(folder, "issued", "4a2b.json")).mode & 0o777, 0o600);
    const dayMs = 24 * 3_600_000;
    const later = { ...record, expires: now + 9 * dayMs };
    await issuedRecordFiles(folder).save("76", later, now + 2000);
    assert.deepEqual(readdirSync(join(folder, "issued")).sort(), ["4a2b.json", "76.json"]);
    await issuedRecordFiles(folder).save("77", later, now + dayMs + 2000);
    assert.deepEqual(readdirSync(join(folder, "issued")).sort(), ["76.json", "77.json"]);
  });

  it("are looked for by nothing but a serial number", async () => {
    for (const serial of ["../ca", "", "4A", "a/b", "-1", "0".repeat(65)])
      await assert.rejects(issuedRecordFiles(folder).find(serial), /serial number/, serial);
  });
});
