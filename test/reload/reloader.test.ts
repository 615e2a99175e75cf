import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Reloader } from "../../src/reload/reloader.ts";
import { SeenFiles } from "../../src/reload/seen-files.ts";
import { files } from "../../src/runtime/files.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

describe("files that were read", () => {
  it("are changed once they are something else: written, replaced, gone, there at last", () => {
    const seen = new SeenFiles(files);
    for (const name of ["a", "b", "c", "e"]) writeFileSync(at(name), "1");
    for (const name of ["a", "b", "c", "e"]) seen.read(at(name));
    assert.throws(() => seen.read(at("d")));
    assert.equal(seen.changed().size, 0);
    writeFileSync(at("a"), "12");
    writeFileSync(at("b.new"), "2");
    renameSync(at("b.new"), at("b"));
    rmSync(at("c"));
    writeFileSync(at("d"), "1");
    assert.deepEqual([...seen.changed().keys()], [at("a"), at("b"), at("c"), at("d")]);
    seen.forget();
    assert.equal(seen.changed().size, 0);
  });

  it("are changed by a link further up, and a folder by what is in it", () => {
    for (const version of ["1", "2"]) {
      mkdirSync(at(`v${version}`));
      writeFileSync(at(`v${version}/key`), "k");
    }
    symlinkSync("v1", at("data"));
    mkdirSync(at("many"));
    writeFileSync(at("many/x.crt"), "x");
    const seen = new SeenFiles(files);
    seen.read(at("data/key"));
    seen.list(at("many"));
    seen.read(at("many/x.crt"));
    symlinkSync("v2", at("data.new"));
    renameSync(at("data.new"), at("data"));
    assert.deepEqual([...seen.changed().keys()], [at("data/key")]);
    writeFileSync(at("many/y.crt"), "y");
    assert.deepEqual([...seen.changed().keys()], [at("data/key"), at("many")]);
  });

  it("are what they were when they were read first: what came later was seen by nobody", () => {
    const seen = new SeenFiles(files);
    seen.read(at("e"));
    writeFileSync(at("e"), "other");
    seen.read(at("e"));
    assert.deepEqual([...seen.changed().keys()], [at("e")]);
  });
});

describe("a reloader", () => {
  it("reloads one at a time, and once more for all who ask meanwhile", async () => {
    const reasons: string[] = [];
    let under = 0;
    const reloader = new Reloader(new SeenFiles(files), async (why) => {
      assert.equal(++under, 1);
      reasons.push(why);
      await new Promise((resolve) => setImmediate(resolve));
      under--;
    });
    await Promise.all(["first", "second", "third"].map((why) => reloader.now(why)));
    assert.deepEqual(reasons, ["first", "third"]);
    await reloader.now("fourth");
    assert.deepEqual(reasons, ["first", "third", "fourth"]);
    reloader.stop();
  });

  it("waits until what is written stands still", async (test) => {
    const contents: string[] = [];
    const seen = new SeenFiles(files);
    writeFileSync(at("slow"), "0");
    seen.read(at("slow"));
    const reloaded = new Promise<void>((resolve) => {
      const reloader = new Reloader(seen, async () => {
        contents.push(seen.read(at("slow")));
        resolve();
      });
      test.after(() => reloader.stop());
    });
    // More often than anybody looks.
    let i = 0;
    const writing = setInterval(() => {
      writeFileSync(at("slow"), "x".repeat(++i));
      if (i === 20) clearInterval(writing);
    }, 100);
    await reloaded;
    assert.deepEqual(contents, ["x".repeat(20)]);
  });
});
