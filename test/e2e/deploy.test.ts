import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { variables } from "../../src/config/variables.ts";
import { findProgram, missing, program } from "../support/programs.ts";

const units = "docs/deploy/systemd";
const terraform = "docs/deploy/terraform";

describe("the units for systemd", { skip: missing("systemd-analyze") }, () => {
  it("are sound, and leave little open", () => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-units-"));
    try {
      for (const name of readdirSync(units)) copyFileSync(join(units, name), join(folder, name));
      const service = readFileSync(join(units, "sallyport@.service"), "utf8");
      // Where it is installed there is a program; here there is Node.
      assert.match(service, /^ExecStart=\/usr\/bin\/node /m);
      const own = join(folder, "sallyport@a.service");
      writeFileSync(own, service.replaceAll("/usr/bin/node", process.execPath));
      const sockets = readdirSync(folder)
        .filter((name) => name.endsWith(".socket"))
        .map((name) => join(folder, name));
      assert.equal(sockets.length, 2);
      const verified = spawnSync(program("systemd-analyze"), ["verify", own, ...sockets], {
        encoding: "utf8",
      });
      assert.equal(`${verified.stdout}${verified.stderr}`.trim(), "");
      assert.equal(verified.status, 0);
      const judge = ["security", "--offline=true", "--threshold=20", own];
      const judged = spawnSync(program("systemd-analyze"), judge, { encoding: "utf8" });
      assert.equal(judged.status, 0, judged.stdout + judged.stderr);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("the examples for deploying", () => {
  it("name variables that there are, and sockets by their listeners'", () => {
    const files = [
      ...readdirSync(units).map((name) => join(units, name)),
      ...readdirSync(terraform).map((name) => join(terraform, name)),
      "docs/deploy/Dockerfile",
      "docs/deploy/README.md",
    ];
    for (const file of files)
      for (const [name] of readFileSync(file, "utf8").matchAll(/\bSALLYPORT_[A-Z_]+\b/g))
        assert.ok(name in variables, `${file}: ${name}`);
  });

  it("for Terraform are in its own form", {
    skip: findProgram("terraform") === undefined && "../terraform",
  }, () => {
    const { status, stdout } = spawnSync(program("terraform"), ["fmt", "-check", terraform], {
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  });
});
