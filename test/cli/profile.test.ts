import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { clientPair, routerAddress } from "../../src/cli/client-options.ts";
import { UsageError } from "../../src/cli/command.ts";
import { logout } from "../../src/cli/logout.ts";
import { profileFolder, readProfile, writeProfile } from "../../src/cli/profile.ts";
import { status } from "../../src/cli/status.ts";
import { authority, ca, hourMs } from "../support/environment.ts";

const home = mkdtempSync(join(tmpdir(), "sallyport-profile-"));
after(() => rmSync(home, { recursive: true, force: true }));

const usageError = (words: RegExp) => (error: unknown) =>
  error instanceof UsageError && words.test(error.message);
const alice = await authority.client({ commonName: "alice", groups: ["payments"] }, hourMs);
const bob = await authority.client({ commonName: "bob" }, hourMs);
const profile = { router: "gate.test:8443", ca, certificate: alice.cert, key: alice.key };
const ssh = { key: "k", publicKey: "p", certificate: "c", hostAuthority: "type AAAA" };

describe("the profile", () => {
  it("is in the user's own folder", () => {
    assert.equal(profileFolder({ XDG_CONFIG_HOME: "/x", HOME: "/h" }), "/x/sallyport");
    assert.equal(profileFolder({ XDG_CONFIG_HOME: "relative", HOME: "/h" }), "/h/.config/sallyport");
    assert.equal(profileFolder({ HOME: "/h" }), "/h/.config/sallyport");
    assert.throws(() => profileFolder({}), usageError(/^HOME is not set/));
  });

  it("is its owner's alone, and nobody else's even where the folder was open", () => {
    const folder = join(home, "open");
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    writeProfile(folder, profile, ssh);
    assert.equal(statSync(join(folder, "ssh")).mode & 0o777, 0o600);
    assert.equal(readFileSync(join(folder, "ssh-known-hosts"), "utf8"), "@cert-authority * type AAAA\n");
    // A login that brings none leaves none.
    writeProfile(folder, { ...profile, ca: null });
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.equal(statSync(join(folder, "client.key")).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder).sort(), ["client.crt", "client.key", "profile.json"]);
    assert.deepEqual(readProfile(folder), { ...profile, ca: null });
  });

  it("that is not there, or broken, is as good as none", () => {
    const none = { router: null, ca: null, certificate: null, key: null };
    assert.deepEqual(readProfile(join(home, "nowhere")), none);
    mkdirSync(join(home, "broken"));
    writeFileSync(join(home, "broken", "profile.json"), "{");
    assert.deepEqual(readProfile(join(home, "broken")), none);
  });

  it("is gone after logout", async () => {
    const env = { XDG_CONFIG_HOME: join(home, "out") };
    writeProfile(profileFolder(env), profile, ssh);
    const lines: string[] = [];
    const io = { env, out: (line: string) => void lines.push(line), err: () => {} };
    assert.equal(await logout.run([], io), 0);
    assert.deepEqual(readdirSync(profileFolder(env)), []);
    assert.equal(await logout.run([], io), 0);
    assert.match(lines.join("\n"), /^removed the profile[^\n]*\nthere was no profile$/);
  });
});

describe("what client commands go by", () => {
  const env = { XDG_CONFIG_HOME: join(home, "used") };
  writeProfile(profileFolder(env), profile);

  it("is a flag, else a variable, else the profile", () => {
    assert.deepEqual(routerAddress({}, env), { host: "gate.test", port: 8443, ca });
    const variable = { ...env, SALLYPORT_ROUTER: "b.test:1" };
    assert.equal(routerAddress({}, variable).host, "b.test");
    assert.deepEqual(routerAddress({ router: "c.test" }, variable), { host: "c.test", port: 8443, ca });
    assert.equal(clientPair({}, env)?.key, alice.key);
    const pair = { SALLYPORT_CLIENT_CERT: bob.cert, SALLYPORT_CLIENT_KEY: bob.key };
    assert.equal(clientPair({}, { ...env, ...pair })?.key, bob.key);
    const flags = { "client-cert": alice.cert, "client-key": alice.key };
    assert.equal(clientPair(flags, { ...env, ...pair })?.key, alice.key);
    assert.equal(clientPair({}, { XDG_CONFIG_HOME: join(home, "none") }), null);
  });

  it("says which of them is wrong, and nothing of a key", () => {
    const none = { XDG_CONFIG_HOME: join(home, "none") };
    assert.throws(() => routerAddress({}, none), usageError(/^--router is missing/));
    for (const router of [
      "https://gate.test",
      "gate.test:0",
      "gate.test:99999",
      "a b",
      "[::1]:8443",
      ":8443",
    ])
      assert.throws(() => routerAddress({ router }, none), usageError(/^--router /), router);
    assert.throws(
      () => routerAddress({}, { ...none, SALLYPORT_ROUTER: "a/b" }),
      usageError(/^SALLYPORT_ROUTER /),
    );
    assert.throws(
      () => routerAddress({ router: "a.test", ca: "/nowhere" }, none),
      usageError(/^--ca can't be read/),
    );
    assert.throws(() => clientPair({ "client-cert": alice.cert }, none), usageError(/go together/));
    const half = alice.key.split("\n").slice(1).join("\n");
    assert.throws(
      () => clientPair({ "client-cert": alice.cert, "client-key": half }, none),
      (error: Error) =>
        /^--client-key can't be read/.test(error.message) && !error.message.includes(half.slice(0, 20)),
    );
  });
});

describe("status", () => {
  const run = async (env: Readonly<Record<string, string>>, ...args: readonly string[]) => {
    const lines: string[] = [];
    const io = {
      env,
      out: (line: string) => void lines.push(line),
      err: (line: string) => void lines.push(line),
    };
    return { status: await status.run(args, io), text: lines.join("\n") };
  };
  const pair = (cert: string, key: string) => ({
    XDG_CONFIG_HOME: home,
    SALLYPORT_CLIENT_CERT: cert,
    SALLYPORT_CLIENT_KEY: key,
  });

  it("says who, and until when", async () => {
    const { status: good, text } = await run(pair(alice.cert, alice.key));
    assert.equal(good, 0);
    assert.match(text, /^you +CN=alice,OU=payments\ngroups +payments\nserial +[0-9a-f]+\nuntil +20/);
    const json = JSON.parse((await run(pair(alice.cert, alice.key), "--json")).text) as Record<
      string,
      unknown
    >;
    assert.deepEqual([json.valid, json.subject, json.groups], [true, "CN=alice,OU=payments", ["payments"]]);
    assert.ok(!text.includes("PRIVATE") && !JSON.stringify(json).includes("PRIVATE"));
  });

  it("fails where the certificate is of no use now", async () => {
    const day = 24 * hourMs;
    const old = await authority.client({ commonName: "a" }, hourMs, Date.now() - day);
    const early = await authority.client({ commonName: "a" }, hourMs, Date.now() + day);
    for (const [env, words] of [
      [pair(old.cert, old.key), /^problem +expired at/m],
      [pair(early.cert, early.key), /^problem +not valid before/m],
      [pair(alice.cert, bob.key), /^problem +the private key is not/m],
      [{ XDG_CONFIG_HOME: join(home, "none") }, /there is no certificate/],
    ] as const) {
      const { status: bad, text } = await run(env);
      assert.equal(bad, 1, text);
      assert.match(text, words);
      const json = JSON.parse((await run(env, "--json")).text) as Record<string, unknown>;
      assert.equal(json.valid, false);
    }
  });
});
