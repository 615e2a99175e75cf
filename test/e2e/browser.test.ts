import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ca } from "../../src/cli/ca.ts";
import { missing, program } from "../support/programs.ts";
import { type Site, startRouter } from "../support/router.ts";
import { run } from "../support/run.ts";

describe("Chromium", { skip: missing("chromium", "certutil") }, () => {
  it("takes the server certificates of the authority, by name, once its root is trusted", async (test) => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-chromium-"));
    test.after(() => rmSync(folder, { recursive: true, force: true }));
    const at = (name: string): string => join(folder, name);
    const command = async (...args: string[]): Promise<void> => {
      assert.equal(await ca.run(args, { env: {}, out: () => {}, err: () => {} }), 0);
    };
    await command("init", "--dir", at("ca"), "--permit-dns", "example.com", "--permit-dns", "localhost");
    const names = ["--name", "gate.example.com", "--name", "localhost"];
    await command("server", "--dir", at("ca"), ...names, "--out", at("server"));
    const router = await startRouter({ folder } as Site, {
      SALLYPORT_CLIENT_CA: at("ca/ca.crt"),
      SALLYPORT_HOST: "gate.example.com",
    });
    test.after(() => router.stop());

    const browse = async (host: string): Promise<string> => {
      const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"];
      const profile = `--user-data-dir=${at("profile")}`;
      const resolve = `--host-resolver-rules=MAP * 127.0.0.1:${router.port}`;
      const { out } = await run(
        program("chromium"),
        [...flags, profile, resolve, "--dump-dom", `https://${host}/`],
        { env: { PATH: process.env.PATH, HOME: folder }, ms: 60_000 },
      );
      return out;
    };
    assert.doesNotMatch(await browse("gate.example.com"), /<h1>Sallyport<\/h1>/, "not trusted yet");
    const store = `sql:${at(".pki/nssdb")}`;
    mkdirSync(at(".pki/nssdb"), { recursive: true });
    const nss = (...args: string[]) => run(program("certutil"), ["-d", store, ...args]);
    await nss("-N", "--empty-password");
    await nss("-A", "-t", "C,,", "-n", "Test", "-i", at("ca/ca.crt"));
    assert.match(await browse("gate.example.com"), /<h1>Sallyport<\/h1>/);
  });
});
