import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpFields } from "../../src/http/exchange.ts";
import { foreignCookies, ownCookies, setCookie, setsOwnCookie } from "../../src/http/own-cookies.ts";

const cookie = (...values: readonly string[]): HttpFields =>
  values.map((value) => ["cookie", value] as const);

describe("the router's own cookies", () => {
  it("are found among others, in one field or in several", () => {
    const found = ownCookies(cookie("a=1; __Host-sallyport=x.y", "__Host-sallyport-1=z;b"));
    assert.deepEqual(
      [...found],
      [
        ["__Host-sallyport", "x.y"],
        ["__Host-sallyport-1", "z"],
      ],
    );
  });

  it("are none under another name, twice, or longer than browsers keep", () => {
    for (const value of [
      "__host-sallyport=x",
      "sallyport=x",
      "x__Host-sallyport=x",
      "=__Host-sallyport=x",
      "__Host-sallyport =x",
      "__Host-sallyport",
      "__Host-sallyport=x; __Host-sallyport=x",
      `__Host-sallyport=${"x".repeat(4096)}`,
    ])
      assert.equal(ownCookies(cookie(value)).size, 0, value.slice(0, 60));
    assert.equal(ownCookies(cookie("__Host-sallyport=x", "__Host-sallyport=y")).size, 0);
  });

  it("stay here, however somebody spells them", () => {
    const all = cookie("a=1; __Host-sallyport=x; __HOST-SALLYPORT-2=y", "=__Host-sallyport=z;b=2;; c");
    assert.equal(foreignCookies(all), "a=1; b=2; c");
    assert.equal(foreignCookies(cookie("__Host-sallyport=x")), null);
    assert.equal(foreignCookies([]), null);
    // What somebody else reads in a way of their own goes on as it came.
    assert.equal(foreignCookies(cookie('a="1;2" ;b', "c=3")), 'a="1;2" ;b; c=3');
  });

  it("are set by nobody else", () => {
    const set = (value: string): HttpFields =>
      setsOwnCookie("set-cookie", value) ? [] : [["set-cookie", value]];
    for (const value of [
      "__Host-sallyport=x; Path=/",
      "__host-Sallyport-1=x",
      "  __Host-sallyport=x",
      "=__Host-sallyport=x",
      "= =__Host-sallyport",
    ])
      assert.deepEqual(set(value), [], value);
    assert.equal(set("a=__Host-sallyport; Path=/").length, 1);
    assert.equal(setsOwnCookie("x", "__Host-sallyport=x"), false);
  });

  it("are set as their prefix wants it", () =>
    assert.deepEqual(setCookie("__Host-sallyport", "x", 60), [
      "set-cookie",
      "__Host-sallyport=x; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax",
    ]));
});
