import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ca } from "../../src/cli/ca.ts";
import { UsageError } from "../../src/cli/command.ts";
import { hashOf } from "../../src/enrolment/join-token.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-ca-token-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const dir = join(folder, "ca");

async function run(...args: readonly string[]): Promise<{ out: string; err: string }> {
  const said = { out: "", err: "" };
  const io = {
    env: {},
    out: (line: string) => {
      said.out += line;
    },
    err: (line: string) => {
      said.err += line;
    },
  };
  assert.equal(await ca.run(args, io), 0);
  return said;
}
const made = run("init", "--dir", dir);

describe("ca token", () => {
  it("prints a token, and keeps what it stands for", async () => {
    await made;
    const names = [
      "--cn",
      "builder",
      "--org",
      "Example",
      "--group",
      "ci",
      "--uri",
      "spiffe://example.com/ci",
    ];
    const limits = [
      "--source",
      "10.0.0.0/8",
      "--route",
      "orders",
      "--lifetime",
      "30m",
      "--renewable",
      "100h",
      "--expires",
      "10m",
    ];
    const { out, err } = await run("token", "--dir", dir, ...names, ...limits);
    assert.match(err, /good for one certificate until/);
    const path = join(dir, "tokens", `${await hashOf(out)}.json`);
    const { expires, ...record } = JSON.parse(readFileSync(path, "utf8")) as { expires: number };
    assert.deepEqual(record, {
      person: {
        commonName: "builder",
        organization: "Example",
        groups: ["ci"],
        emails: [],
        dnsNames: [],
        uris: ["spiffe://example.com/ci"],
      },
      lifetimeMs: 1_800_000,
      renewalSpanMs: 360_000_000,
      limits: { sources: ["10.0.0.0/8"], routes: ["orders"] },
    });
    assert.ok(Math.abs(expires - Date.now() - 600_000) < 60_000);
  });

  it("prints it as JSON", async () => {
    await made;
    const { out, err } = await run("token", "--dir", dir, "--cn", "a", "--json");
    const answer = JSON.parse(out) as { token: string; expires: string };
    assert.match(answer.token, /^sallyport-join-/);
    assert.ok(Math.abs(Date.parse(answer.expires) - Date.now() - 3_600_000) < 60_000);
    assert.equal(err, "");
  });

  it("refuses what can't stand in a certificate, and says which flag", async () => {
    await made;
    const before = readdirSync(join(dir, "tokens")).length;
    const flags: readonly (readonly [string, string])[] = [
      ["--cn", "a\nb"],
      ["--org", ""],
      ["--group", " x"],
      ["--email", "nobody"],
      ["--dns", "a b"],
      ["--uri", "spiffe://Example.com"],
      ["--lifetime", "48h"],
      ["--lifetime", "soon"],
      ["--renewable", "forever"],
      ["--expires", "90d"],
      ["--source", "10.0.0.1/8"],
      ["--route", "Orders!"],
    ];
    for (const [flag, value] of flags) {
      const cn = flag === "--cn" ? [] : ["--cn", "a"];
      await assert.rejects(
        run("token", "--dir", dir, ...cn, flag, value),
        (error) => error instanceof UsageError && error.message.startsWith(flag),
        `${flag} ${value}`,
      );
    }
    for (const args of [
      ["--dir", dir],
      ["--dir", folder, "--cn", "a"],
      ["--cn", "a"],
    ])
      await assert.rejects(run("token", ...args), UsageError);
    assert.equal(readdirSync(join(dir, "tokens")).length, before);
  });
});
