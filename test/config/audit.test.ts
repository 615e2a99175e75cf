import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { schemes } from "../../src/adapters/registry.ts";
import type { AuditConfig } from "../../src/config/audit.ts";
import { loadConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/errors.ts";
import { files } from "../../src/runtime/files.ts";

const audit = (env: Readonly<Record<string, string>>): AuditConfig => loadConfig(env, schemes, files).audit;

function problem(env: Readonly<Record<string, string>>): string {
  try {
    audit(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ name, message }) => `${name}: ${message}`).join("\n");
  }
  throw new Error("it was taken");
}

describe("where the audit log goes", () => {
  it("is standard output, nowhere, a path or a syslog receiver", () => {
    assert.deepEqual(audit({}), {
      target: { to: "stdout" },
      chained: false,
      rotation: null,
      whenFull: "continue",
    });
    assert.deepEqual(audit({ SALLYPORT_AUDIT_LOG: "off" }).target, { to: "nowhere" });
    assert.deepEqual(audit({ SALLYPORT_AUDIT_LOG: "/var/log/a b.log" }).target, {
      to: "file",
      path: "/var/log/a b.log",
    });
    const receiver = (text: string) => {
      const { target } = audit({ SALLYPORT_AUDIT_LOG: text });
      return target.to === "syslog" ? target.receiver : target;
    };
    assert.deepEqual(receiver("syslog+tcp://log.test:601"), { host: "log.test", port: 601, tls: null });
    assert.deepEqual(receiver("syslog+tcp://[::1]:601"), { host: "::1", port: 601, tls: null });
    assert.deepEqual(receiver("syslog+unix:/run/a%20b.sock"), { path: "/run/a b.sock" });
    const tls = { ca: null, cert: null, key: null };
    assert.deepEqual(receiver("syslog+tls://log.test"), { host: "log.test", port: 6514, tls });
  });

  it("has a chain in files, and elsewhere where that is said", () => {
    const at = (target: string, chain?: string) =>
      audit({ SALLYPORT_AUDIT_LOG: target, ...(chain === undefined ? {} : { SALLYPORT_AUDIT_CHAIN: chain }) })
        .chained;
    assert.deepEqual(
      [at("/a"), at("/a", "off"), at("-"), at("-", "on"), at("syslog+tcp://a:1")],
      [true, false, false, true, false],
    );
  });

  it("is put aside by size, age or both", () => {
    const rotation = (text: string) =>
      audit({ SALLYPORT_AUDIT_LOG: "/a", SALLYPORT_AUDIT_ROTATE: text, SALLYPORT_AUDIT_KEEP: "3" }).rotation;
    assert.deepEqual(rotation("100MiB"), { bytes: 104_857_600, ageMs: null, keep: 3 });
    assert.deepEqual(rotation("24h, 1GiB"), { bytes: 1_073_741_824, ageMs: 86_400_000, keep: 3 });
    assert.equal(rotation("off"), null);
  });

  it("is what docs/observability.md shows", () => {
    const text = readFileSync("docs/observability.md", "utf8");
    const block = /### Rotation[\s\S]*?```sh\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
    const env = Object.fromEntries(
      block
        .trim()
        .split("\n")
        .map((line) => line.split("=") as [string, string]),
    );
    const rotation = { bytes: 104_857_600, ageMs: 86_400_000, keep: 30 };
    assert.deepEqual(audit(env).rotation, rotation);
    const shown = [...text.matchAll(/^\| `(syslog[^`]*)`/gm)].map(([, target = ""]) =>
      target.replace(/\?.*/, ""),
    );
    assert.equal(shown.length, 3);
    for (const target of shown) assert.equal(audit({ SALLYPORT_AUDIT_LOG: target }).target.to, "syslog");
  });

  it("is refused in words where it is nothing of that", () => {
    for (const [value, words] of [
      ["syslog", /^SALLYPORT_AUDIT_LOG: expected -, off, a path, syslog\+tcp/],
      ["syslog+udp://a:514", /^SALLYPORT_AUDIT_LOG: expected -/],
      ["http://a/", /^SALLYPORT_AUDIT_LOG: expected -/],
      ["syslog+tcp://a", /expected syslog\+tcp:\/\/HOST:PORT/],
      ["syslog+tcp://a:1?ca=x", /ca= is no parameter of syslog\+tcp: expected none/],
      ["syslog+tls://a:1?cert=/none", /no such file/],
      ["syslog+tls://u:secret@a:1", /takes no user's name/],
      ["syslog+unix://a/b", /stream socket/],
    ] as const) {
      const said = problem({ SALLYPORT_AUDIT_LOG: value });
      assert.match(said, words);
      assert.doesNotMatch(said, /secret/);
    }
    for (const value of ["1", "10B", "0s", "100MB", "1MiB,2MiB", ",", "1h,2h"])
      assert.match(
        problem({ SALLYPORT_AUDIT_LOG: "/a", SALLYPORT_AUDIT_ROTATE: value }),
        /^SALLYPORT_AUDIT_ROTATE: .*expected a size/,
      );
    assert.match(problem({ SALLYPORT_AUDIT_ROTATE: "1h" }), /expected a path in SALLYPORT_AUDIT_LOG/);
    assert.match(problem({ SALLYPORT_AUDIT_KEEP: "0" }), /^SALLYPORT_AUDIT_KEEP: "0" is no count/);
  });
});
