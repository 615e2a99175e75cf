import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { writeTogether } from "../../src/runtime/key-files.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-files-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const pair = (name: string, contents: string) =>
  [
    { path: at(`${name}.key`), contents, secret: true },
    { path: at(`${name}.crt`), contents, secret: false },
  ] as const;

describe("files that belong together", () => {
  it("are written whole, secrets for their owner alone, and leave nothing beside them", () => {
    for (const contents of ["one", "two"]) writeTogether(...pair("a", contents));
    assert.equal(readFileSync(at("a.key"), "utf8"), "two");
    assert.equal(readFileSync(at("a.crt"), "utf8"), "two");
    assert.equal(statSync(at("a.key")).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder).sort(), ["a.crt", "a.key"]);
  });

  it("stay as they were where one of them can't be written", () => {
    writeTogether(...pair("b", "before"));
    const [key] = pair("b", "after");
    // Where a file stands there can be no folder.
    const impossible = { path: join(at("b.crt"), "below"), contents: "x", secret: false };
    assert.throws(() => writeTogether(key, impossible));
    assert.equal(readFileSync(at("b.key"), "utf8"), "before");
    assert.ok(!readdirSync(folder).some((name) => name.endsWith(".new")));
  });

  it("are not put in the place of a folder", () => {
    mkdirSync(at("c.key"));
    assert.throws(() => writeTogether(...pair("c", "x")));
  });
});
