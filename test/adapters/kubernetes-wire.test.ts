import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { goesOnForLong, requestInfo, withoutParameter } from "../../src/adapters/http/kubernetes/wire.ts";

type Row = readonly [
  method: string,
  target: string,
  verb: string,
  group: string | null,
  namespace: string | null,
  resource: string | null,
  subresource: string | null,
  name: string | null,
];

/** As k8s.io/apiserver's RequestInfoFactory has them, most of them from its own test. */
const rows: readonly Row[] = [
  ["GET", "/api/v1/namespaces", "list", "", null, "namespaces", null, null],
  ["GET", "/api/v1/namespaces/other", "get", "", "other", "namespaces", null, "other"],
  ["PUT", "/api/v1/namespaces/other/finalize", "update", "", "other", "namespaces", "finalize", "other"],
  ["PUT", "/api/v1/namespaces/other/status", "update", "", "other", "namespaces", "status", "other"],
  ["GET", "/api/v1/namespaces/other/pods", "list", "", "other", "pods", null, null],
  ["GET", "/api/v1/namespaces/other/pods/foo", "get", "", "other", "pods", null, "foo"],
  ["HEAD", "/api/v1/namespaces/other/pods/foo", "get", "", "other", "pods", null, "foo"],
  ["GET", "/api/v1/pods", "list", "", null, "pods", null, null],
  ["GET", "/api/v1/pods/", "list", "", null, "pods", null, null],
  ["GET", "/api/v1/proxy/namespaces/other/pods/foo", "proxy", "", "other", "pods", null, "foo"],
  ["GET", "/api/v1/watch/pods", "watch", "", null, "pods", null, null],
  ["GET", "/api/v1/pods?watch=true", "watch", "", null, "pods", null, null],
  ["GET", "/api/v1/pods?watch", "watch", "", null, "pods", null, null],
  ["GET", "/api/v1/pods?watch=false", "list", "", null, "pods", null, null],
  ["GET", "/api/v1/pods?watch=0", "list", "", null, "pods", null, null],
  ["GET", "/api/v1/watch/namespaces/other/pods", "watch", "", "other", "pods", null, null],
  [
    "GET",
    "/api/v1/namespaces/other/pods?fieldSelector=metadata.name%3Dfoo",
    "list",
    "",
    "other",
    "pods",
    null,
    "foo",
  ],
  ["GET", "/api/v1/namespaces/other/pods/foo/log?follow=true", "get", "", "other", "pods", "log", "foo"],
  ["POST", "/api/v1/namespaces/other/pods/foo/exec?command=id", "create", "", "other", "pods", "exec", "foo"],
  [
    "POST",
    "/apis/extensions/v1beta3/namespaces/other/pods",
    "create",
    "extensions",
    "other",
    "pods",
    null,
    null,
  ],
  [
    "PATCH",
    "/apis/apps/v1/namespaces/a/deployments/web?fieldManager=me",
    "patch",
    "apps",
    "a",
    "deployments",
    null,
    "web",
  ],
  ["DELETE", "/api/v1/namespaces/other/pods", "deletecollection", "", "other", "pods", null, null],
  ["DELETE", "/api/v1/namespaces/other/pods/foo", "delete", "", "other", "pods", null, "foo"],
  [
    "GET",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
    "get",
    "rbac.authorization.k8s.io",
    null,
    "clusterroles",
    null,
    "system:node",
  ],
  [
    "GET",
    "/api/v1/namespaces/a/services/https:web:443/proxy/x/../y%2fz",
    "get",
    "",
    "a",
    "services",
    "proxy",
    "https:web:443",
  ],
  ["GET", "/version", "get", null, null, null, null, null],
  ["GET", "/", "get", null, null, null, null, null],
  ["GET", "/api", "get", null, null, null, null, null],
  ["GET", "/apis/apps/v1", "get", null, null, null, null, null],
  ["GET", "/openapi/v3/apis/apps/v1?hash=1", "get", null, null, null, null, null],
  ["POST", "/apis", "post", null, null, null, null, null],
];

describe("what a request to a Kubernetes API is for", () => {
  for (const [method, target, verb, group, namespace, resource, subresource, name] of rows)
    it(`${method} ${target}`, () => {
      const info = requestInfo(method, target);
      if (target.includes("..")) return assert.ok("ambiguous" in info);
      assert.ok(!("ambiguous" in info), JSON.stringify(info));
      const { version: _, ...rest } = info;
      assert.deepEqual(rest, { verb, group, namespace, resource, subresource, name });
    });

  it("is not said of a path that readers take for different ones", () => {
    for (const path of [
      "/api/v1/namespaces/a/pods/..",
      "/api/v1/namespaces/a/pods/%2e%2E/secrets",
      "/api/v1/namespaces/a%2fb/pods",
      "/api/v1/namespaces/a/pods/x%255c",
      "/api//v1/pods",
      "//api/v1/pods",
      "/api/v1/pods//",
      "/api/v1/pods/%00",
      "/api/v1/pods/%ff",
      "/api/v1/pods/x%",
      "/api/v1/pods/\u00e9",
      "/api/v1/pods/a\\b",
      "/api/v1/watch",
      "/api/v1/namespaces/a/services/w/%70roxy/..%2f",
      "/api/v1/namespaces/a/services/w/proxy/..%2f..%2fsecrets",
      "/api/v1/namespaces/a/services/w/proxy/%2e%2e/x",
    ])
      assert.ok("ambiguous" in requestInfo("GET", path), path);
  });

  it("goes on for long where it is a watch, or a log that is followed", () => {
    const long = (target: string): boolean => {
      const info = requestInfo("GET", target);
      return !("ambiguous" in info) && goesOnForLong(info, target);
    };
    assert.ok(long("/api/v1/pods?watch=1"));
    assert.ok(long("/api/v1/watch/pods"));
    assert.ok(long("/api/v1/namespaces/a/pods/x/log?container=c&follow=true"));
    assert.ok(!long("/api/v1/namespaces/a/pods/x/log?follow=false"));
    assert.ok(!long("/api/v1/namespaces/a/pods/x/log"));
    assert.ok(!long("/api/v1/pods?watch=false"));
    assert.ok(!long("/version?watch=true"));
  });

  it("never fails, and reads nothing back that the path does not hold", () => {
    const piece = fc.constantFrom(
      "api",
      "apis",
      "v1",
      "namespaces",
      "pods",
      "proxy",
      "watch",
      "log",
      "status",
      "%2e",
      "%2F",
      "..",
      "",
      "a",
      "?watch=1",
      "&",
      "=",
      ";",
      "%",
      "é",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.constantFrom("/", ""), (pieces, between) => {
        const info = requestInfo("GET", `/${pieces.join(between)}`);
        if ("ambiguous" in info) return;
        for (const part of [info.namespace, info.resource, info.subresource, info.name])
          assert.ok(part === null || !/[/%\\]|^\.\.?$/.test(part), JSON.stringify(info));
      }),
    );
  });
});

describe("a target without a parameter", () => {
  it("has it in no spelling, and all else as it was", () => {
    const without = (target: string): string => withoutParameter(target, "access_token");
    assert.equal(without("/x?a=1&access_token=t&b=%20"), "/x?a=1&b=%20");
    assert.equal(without("/x?access%5Ftoken=t"), "/x");
    assert.equal(without("/x?ACCESS_TOKEN=t&a"), "/x?a");
    assert.equal(without("/x?+access_token=t&a"), "/x?a");
    assert.equal(without("/x?a=1;access_token=t&b"), "/x?b");
    assert.equal(without("/x?access_token"), "/x");
    assert.equal(without("/access_token?a=access_token&&b"), "/access_token?a=access_token&&b");
    assert.equal(without("/x"), "/x");
  });
});
