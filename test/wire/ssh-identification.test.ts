import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { maxBefore, maxIdentification, parseIdentification } from "../../src/wire/ssh-identification.ts";

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const longest = `SSH-2.0-${"x".repeat(maxIdentification - 10)}\r\n`;

describe("an SSH identification", () => {
  const good: readonly (readonly [text: string, software: string, protocol?: string])[] = [
    ["SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "OpenSSH_9.2p1 Debian-2+deb12u3"],
    ["SSH-2.0-Go\n", "Go"],
    ["SSH-1.99-Cisco-1.25\r\n", "Cisco-1.25", "1.99"],
    [longest, "x".repeat(maxIdentification - 10)],
  ];
  it("is read whole, and never before its end, wherever it is cut", () => {
    for (const [text, software, protocol = "2.0"] of good) {
      for (const before of ["", "Welcome\r\n", "\n\nSSH\r\nSS\r\n"]) {
        const bytes = ascii(`${before}${text}and more`);
        const used = before.length + text.length;
        for (let cut = 0; cut < used; cut++) {
          const parsed = parseIdentification(bytes.subarray(0, cut), "server");
          assert.deepEqual([parsed.kind, cut], ["more", cut]);
        }
        for (let cut = used; cut <= bytes.length; cut++) {
          const parsed = parseIdentification(bytes.subarray(0, cut), "server");
          assert.deepEqual(parsed, { kind: "ok", value: { protocol, software }, used });
        }
        const ofClient = parseIdentification(bytes, "client");
        assert.equal(ofClient.kind, before === "" ? "ok" : "no");
      }
    }
  });

  it("of a client has nothing in front of it", () => {
    for (const text of ["Welcome\r\nSSH-2.0-x\r\n", "\r\nSSH-2.0-x\r\n", "GET", "ssh-2.0-x\r\n", "SX"])
      assert.equal(parseIdentification(ascii(text), "client").kind, "no", text);
    for (const text of ["", "S", "SS", "SSH", "SSH-"])
      assert.equal(parseIdentification(ascii(text), "client").kind, "more", text);
  });

  it("is refused where it breaks the rules", () => {
    const bad: readonly (readonly [string, string])[] = [
      ["SSH-1.5-old\r\n", "unsupported"],
      ["SSH-3.0-new\r\n", "unsupported"],
      ["SSH-2.0-\r\n", "malformed"],
      ["SSH-2.0\r\n", "malformed"],
      ["SSH-2.0-a\0b\r\n", "malformed"],
      ["SSH-2.0-a\rb\r\n", "malformed"],
      ["SSH-2.0-a\u001b[2Jb\r\n", "malformed"],
      ["SSH-2.0-caf\u00e9\r\n", "malformed"],
      [longest.replace("x", "xx"), "too_large"],
      ["SSH-".padEnd(maxIdentification, "x"), "too_large"],
      ["x".repeat(maxBefore + 1), "too_large"],
      ["x\n".repeat(maxBefore / 2 + 1), "too_large"],
      ["\n".repeat(maxBefore + 1), "too_large"],
    ];
    for (const [text, code] of bad) {
      const parsed = parseIdentification(ascii(text), "server");
      assert.equal(parsed.kind === "no" && parsed.code, code, text.slice(0, 40));
    }
  });

  it("is never asked for without end, and what is said once is not taken back", () => {
    const line = fc.oneof(
      fc.constantFrom("SSH-2.0-a\r\n", "SSH-1.99-b\n", "SSH-", "\n", "S"),
      fc.string({ maxLength: 300, unit: "binary-ascii" }),
    );
    const side = fc.constantFrom("client" as const, "server" as const);
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), side, (parts, from) => {
        const bytes = ascii(parts.join(""));
        const whole = parseIdentification(bytes, from);
        for (let cut = 0; cut < bytes.length; cut += 1 + (cut >> 3)) {
          const parsed = parseIdentification(bytes.subarray(0, cut), from);
          if (parsed.kind === "more") {
            const most = from === "client" ? maxIdentification : maxBefore + maxIdentification;
            assert.ok(parsed.atLeast > cut && cut < most);
          } else assert.deepEqual(parsed, whole);
        }
      }),
      { numRuns: 500 },
    );
  });
});
