import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { httpProxy } from "../../src/cli/http-proxy.ts";

const host = "gate.example.com";
const proxied = (env: Readonly<Record<string, string>>) => httpProxy(env, host);
const where = (env: Readonly<Record<string, string>>): string | null => {
  const found = proxied(env);
  return found === null ? null : `${found.tls ? "https" : "http"}://${found.host}:${found.port}`;
};

describe("the proxy by the environment", () => {
  it("is none unless one is named", () => {
    assert.equal(proxied({}), null);
    assert.equal(proxied({ HTTPS_PROXY: "", HTTP_PROXY: "http://other:1" }), null);
  });

  it("is that of the more special variable, in small letters first", () => {
    const all = { ALL_PROXY: "http://d:1", all_proxy: "http://c:1" };
    assert.equal(where({ HTTPS_PROXY: "http://b:1", https_proxy: "http://a:1", ...all }), "http://a:1");
    assert.equal(where({ HTTPS_PROXY: "http://b:1", https_proxy: "", ...all }), "http://b:1");
    assert.equal(where(all), "http://c:1");
    assert.equal(where({ ALL_PROXY: "http://d:1" }), "http://d:1");
  });

  for (const [url, expected] of [
    ["proxy.example.com", "http://proxy.example.com:1080"],
    ["proxy:3128", "http://proxy:3128"],
    ["HTTP://proxy:80/", "http://proxy:80"],
    ["https://proxy", "https://proxy:443"],
    ["http://[::1]:3128", "http://::1:3128"],
  ] as const)
    it(`reads ${url}`, () => {
      assert.equal(where({ HTTPS_PROXY: url }), expected);
    });

  for (const [url, credentials] of [
    ["http://user:secret@proxy:1", "user:secret"],
    ["user:p%40ss:w%c3%b6rd@proxy:1", "user:p@ss:wörd"],
    ["http://user:p@ss@proxy:1", "user:p@ss"],
    ["http://user@proxy:1", "user:"],
    ["http://user:%0d%0aX:y@proxy:1", "user:\r\nX:y"],
  ] as const)
    it(`shows the credentials of ${url}`, () => {
      const basic = Buffer.from(credentials).toString("base64");
      assert.equal(proxied({ HTTPS_PROXY: url })?.authorization, `Basic ${basic}`);
    });

  for (const url of [
    "socks5://user:secret@proxy:1080",
    "http://proxy:secret",
    "http://proxy:0",
    "http://proxy:99999",
    "http://user%3asecret:x@proxy",
    "http://%zz:secret@proxy",
    "http://pro xy",
    "http://",
  ])
    it(`refuses ${url}, and does not repeat it`, () => {
      assert.throws(
        () => proxied({ all_proxy: url }),
        ({ name, message }: Error) =>
          name === "UsageError" &&
          /^all_proxy: expected an HTTP proxy/.test(message) &&
          !message.includes("secret"),
      );
    });

  for (const [list, bypassed] of [
    ["*", true],
    [" * ", true],
    ["gate.example.com", true],
    ["GATE.example.com.", true],
    ["example.com", true],
    [".example.com", true],
    ["other.org, com", true],
    ["localhost other.org example.com", true],
    ["ate.example.com", false],
    ["xexample.com", false],
    ["*.example.com", false],
    ["gate.example.com.evil.org", false],
    ["gate.example.com:8443", false],
    [",, ,", false],
  ] as const)
    it(`${bypassed ? "is none" : "stays"} with NO_PROXY ${JSON.stringify(list)}`, () => {
      for (const name of ["no_proxy", "NO_PROXY"])
        assert.equal(proxied({ HTTPS_PROXY: "http://p:1", [name]: list }) === null, bypassed);
    });

  it("is not read where it is not needed", () => {
    assert.equal(proxied({ ALL_PROXY: "socks5://x", NO_PROXY: "example.com" }), null);
  });
});
