import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isForgeable, isNavigation } from "../../src/http/browser-request.ts";
import type { HttpRequest } from "../../src/http/exchange.ts";

const here = "https://app.test:8443";
const request = (method: string, fields: Readonly<Record<string, string>> = {}): HttpRequest => ({
  method,
  target: "/",
  authority: "app.test:8443",
  version: "2",
  fields: Object.entries(fields),
  body: null,
});

describe("a browser's request", () => {
  it("is a navigation where it says so, or an older browser wants a page", () => {
    assert.ok(isNavigation(request("GET", { "sec-fetch-mode": "navigate" })));
    assert.ok(isNavigation(request("HEAD", { accept: "text/html,application/xhtml+xml;q=0.9" })));
    assert.ok(isNavigation(request("GET", { accept: "*/*, TEXT/HTML ;q=0.1" })));
    for (const fields of [
      {},
      { accept: "*/*" },
      { accept: "application/json" },
      { accept: "x-text/html" },
      { accept: "text/html", "sec-fetch-mode": "cors" },
      { accept: "text/html", "sec-fetch-mode": "no-cors" },
      { accept: "text/html", "sec-fetch-mode": "websocket" },
    ] as Readonly<Record<string, string>>[])
      assert.ok(!isNavigation(request("GET", fields)), JSON.stringify(fields));
    assert.ok(!isNavigation(request("POST", { "sec-fetch-mode": "navigate" })));
  });

  it("that changes something, or opens a stream, says that a page of this origin makes it", () => {
    const forgeable = (method: string, fields: Readonly<Record<string, string>>, switches = false): boolean =>
      isForgeable(request(method, fields), switches, here);
    for (const method of ["GET", "HEAD", "OPTIONS", "TRACE"]) {
      assert.ok(!forgeable(method, {}), method);
      assert.ok(forgeable(method, {}, true), `${method}, switching`);
      assert.ok(forgeable(method, { origin: "https://evil.test" }, true));
      assert.ok(!forgeable(method, { origin: here }, true));
    }
    // RFC 8441.
    assert.ok(forgeable("CONNECT", { origin: "https://evil.test" }, true));
    assert.ok(!forgeable("CONNECT", { origin: here }, true));
    for (const method of ["POST", "PUT", "get", "Post", "QUERY"]) {
      for (const fields of [
        {},
        { origin: "null" },
        { origin: "" },
        { origin: "https://app.test" },
        { origin: "http://app.test:8443" },
        { origin: `${here}.evil.test` },
        { origin: `${here}/` },
        { origin: `${here}, ${here}` },
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" },
        { "sec-fetch-site": "same-origin", origin: "https://evil.test" },
        { "sec-fetch-site": "cross-site", origin: "null" },
        { "sec-fetch-site": "same-site", origin: "null" },
        { referer: `${here}/` },
      ] as Readonly<Record<string, string>>[])
        assert.ok(forgeable(method, fields), `${method} ${JSON.stringify(fields)}`);
      assert.ok(!forgeable(method, { origin: here }));
      assert.ok(!forgeable(method, { "sec-fetch-site": "same-origin" }));
      assert.ok(!forgeable(method, { "sec-fetch-site": "same-origin", origin: "null" }));
    }
  });
});
