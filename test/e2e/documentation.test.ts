import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { missing } from "../support/programs.ts";
import { environment, sallyport } from "../support/router.ts";
import { run } from "../support/run.ts";

/** The program as a shell word list, from any folder. */
const absolute = sallyport.map((word) => (/^(dist|src)\//.test(word) ? resolve(word) : word));
const program = absolute.map((word) => `'${word}'`).join(" ");
const inReadme = (text: string): string => text.replaceAll("npm run -s sallyport --", program);

/** The shell blocks below a heading of the README. */
function shellBlock(heading: string): string {
  const text = readFileSync("README.md", "utf8");
  const section = text.slice(text.indexOf(`### ${heading}`));
  const block = /```sh\n([\s\S]*?)```/.exec(section)?.[1];
  assert.ok(block !== undefined, heading);
  return inReadme(block);
}

describe("the README", { skip: missing("bash") }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "sallyport-readme-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const bash = (script: string) =>
    run("bash", ["-euc", script], { cwd: folder, env: environment({}), ms: 60_000 });

  it("makes an authority and certificates, keys readable by their owner alone", async () => {
    const { status, err } = await bash(shellBlock("Make an authority and certificates"));
    assert.equal(status, 0, err);
    for (const key of ["ca/ca.key", "gate.key", "alice.key"])
      assert.equal(statSync(join(folder, key)).mode & 0o777, 0o600, key);
  });

  it("configures, and `check` prints the table", async () => {
    const { status, out, err } = await bash(shellBlock("Configure it by environment variables"));
    assert.equal(status, 0, err);
    assert.match(out, /^app +http +app\.example\.com/m);
    assert.match(out, /^redis +tcp +redis\.example\.com/m);
  });

  const exports = shellBlock("Configure it by environment variables").replace(/^.* check$/m, "");

  it("lets people and machines get their own certificates", async () => {
    const { status, out, err } = await bash(
      exports + shellBlock("Let people and machines get their own certificates"),
    );
    assert.equal(status, 0, err);
    assert.match(out, /^PROVIDER +staff: https:\/\/login\.example\.com, for sallyport: everybody$/m);
    assert.match(out, /^sallyport-join-[A-Za-z0-9_-]{43}$/m);
  });

  it("explains where a connection goes", async () => {
    const { status, out, err } = await bash(
      exports + shellBlock("Find out why a connection goes where it goes"),
    );
    assert.equal(status, 0, err);
    assert.match(out, /^route app /m);
    assert.match(out, /CN=alice,OU=payments: admitted by group:payments/);
  });
});

describe("docs/certificates.md", { skip: missing("bash") }, () => {
  it("makes an authority with a passphrase, certificates with limits, and revokes one", async (test) => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-docs-"));
    test.after(() => rmSync(folder, { recursive: true, force: true }));
    const text = readFileSync("docs/certificates.md", "utf8");
    const section = text.slice(text.indexOf("## An authority of your own"));
    const block = /```sh\n([\s\S]*?)```/.exec(section)?.[1] ?? "";
    const script = `echo 'a long passphrase' > root.passphrase\n${inReadme(block)}`;
    const { status, err } = await run("bash", ["-euc", script], {
      cwd: folder,
      env: environment({}),
      ms: 60_000,
    });
    assert.equal(status, 0, err);
    assert.match(readFileSync(join(folder, "ca/ca.key"), "utf8"), /ENCRYPTED/);
    assert.match(readFileSync(join(folder, "ca/ca.crl"), "utf8"), /BEGIN X509 CRL/);
  });
});

describe("the demo", { skip: missing("curl", "openssl", "bash") }, () => {
  it("has no colours for a file, whatever standard error is", { skip: missing("script") }, async (test) => {
    const scratch = mkdtempSync(join(tmpdir(), "sallyport-demo-test-"));
    test.after(() => rmSync(scratch, { recursive: true, force: true }));
    const said = join(scratch, "demo.txt");
    const line = [...absolute, "demo", "--port", "0", "--for", "1s", ">", said].join(" ");
    const { status, out } = await run("script", ["-qefc", line, "/dev/null"], {
      env: environment({ SHELL: "/bin/sh", NO_COLOR: "" }),
    });
    assert.equal(status, 0, out);
    const text = readFileSync(said, "utf8");
    assert.match(text, /live \(Ctrl-C/);
    assert.ok(!text.includes("\u001b"), text);
  });

  it("prints commands that work as printed, and shows what became of each", async () => {
    const [command = "", ...args] = absolute;
    const child = spawn(command, [...args, "demo", "--for", "60s"], {
      env: environment({}),
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    const until = async (text: RegExp): Promise<void> => {
      for (let i = 0; i < 2400 && !text.test(said); i++) await new Promise((next) => setTimeout(next, 25));
      assert.match(said, text);
    };
    child.stdout.on("data", (chunk) => {
      said += chunk;
    });
    try {
      await until(/live \(Ctrl-C/);
      const lines = said.split("\n");
      const commands = lines.flatMap((line, i) =>
        line.startsWith("# ") ? [{ what: line, text: lines[i + 1] ?? "" }] : [],
      );
      const answer = async (what: string): Promise<string> => {
        const found = commands.find((one) => one.what.includes(what));
        assert.ok(found !== undefined, what);
        return (await run("bash", ["-c", found.text], { env: environment({}) })).out;
      };
      assert.match(await answer("web app, as alice"), /Hello from a web app/);
      assert.match(await answer("who you are"), /"subject":"CN=alice,OU=payments"/);
      assert.match(await answer("any TCP service"), /Hello from a plain TCP service[\s\S]*hello/);
      assert.match(await answer("bob is known"), /identity_not_allowed/);
      assert.match(await answer("somebody else's"), /client_cert_untrusted/);
      await until(/served .*web\.localhost \(h2\) -> web as CN=alice/);
      await until(/refused .*identity_not_allowed/);
      await until(/refused .*client_cert_untrusted/);
    } finally {
      const gone = new Promise((done) => child.once("exit", done));
      child.kill("SIGINT");
      assert.equal(await gone, 0);
    }
  });
});
