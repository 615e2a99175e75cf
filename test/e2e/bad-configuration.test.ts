import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { createSite, environment, type Site, sallyport, startRouter } from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";

let site: Site;
before(async () => {
  site = await createSite(["localhost", "a.test"]);
  site.save("other", await site.authority.server(["a.test"], 86_400_000));
});
after(() => site?.remove());

function serve(env: Record<string, string>, ...flags: string[]): Promise<Finished> {
  const [program, ...args] = sallyport;
  return run(program, [...args, "serve", ...flags], {
    env: environment({
      SALLYPORT_LISTEN: "127.0.0.1:0",
      SALLYPORT_ADMIN_LISTEN: "off",
      SALLYPORT_CERT: `${site.folder}/server.crt`,
      SALLYPORT_KEY: `${site.folder}/server.key`,
      SALLYPORT_CLIENT_CA: `${site.folder}/ca.crt`,
      ...env,
    }),
  });
}

/** One start for all of them: whatever is wrong is said at once. */
const starting = (env: () => Record<string, string>): (() => Promise<Finished>) => {
  let finished: Promise<Finished> | undefined;
  return () => {
    finished ??= serve(env());
    return finished;
  };
};
const wrong = starting(() => ({
  SALLYPORT_LISTN: "x",
  SALLYPORT_IDLE_TIMEOUT: "soon",
  SALLYPORT_CERT: "/nowhere.crt",
  SALLYPORT_CLIENT_CA: "",
  SALLYPORT_STATE_URL: "redis://127.0.0.1",
  SALLYPORT_ROUTE_A: "tcp://127.0.0.1:1?sni=a.test&clinet=none",
  SALLYPORT_ROUTE_B: "tcp://127.0.0.1:1?sni=a.test",
}));
const unfit = starting(() => ({
  SALLYPORT_KEY: `${site.folder}/other.key`,
  SALLYPORT_ROUTE_A: "tcp://127.0.0.1:1?sni=a.test",
  SALLYPORT_ROUTE_B: "tcp://127.0.0.1:2?sni=a.test",
}));

describe("serve does not start, and says why, with", () => {
  const cases: readonly (readonly [what: string, start: () => Promise<Finished>, message: RegExp])[] = [
    ["an unknown variable", wrong, /SALLYPORT_LISTN: .*did you mean SALLYPORT_LISTEN\?/],
    ["a value that is none", wrong, /SALLYPORT_IDLE_TIMEOUT: .*10s/],
    ["a certificate that is not there", wrong, /SALLYPORT_CERT: /],
    ["a key that is another's", unfit, /SALLYPORT_KEY: .*key/],
    ["an unknown parameter", wrong, /SALLYPORT_ROUTE_A: .*clinet.*did you mean client\?/],
    ["two routes alike", unfit, /SALLYPORT_ROUTE_B: .*SALLYPORT_ROUTE_A/],
    ["no trust anchor for a required certificate", wrong, /SALLYPORT_ROUTE_B: .*SALLYPORT_CLIENT_CA/],
    ["shared state without a secret", wrong, /SALLYPORT_STATE_SECRET: .*256 random bits/],
  ];
  for (const [what, start, message] of cases) {
    it(what, async () => {
      const { status, err } = await start();
      assert.equal(status, 2, err);
      assert.match(err, message);
    });
  }

  it("a flag, which would otherwise be thought to have done something", async () => {
    for (const flags of [["--listen=127.0.0.1:1"], ["127.0.0.1:1"]]) {
      const { status, err } = await serve({}, ...flags);
      assert.equal(status, 2, err);
      assert.match(err, flags[0] === "127.0.0.1:1" ? /127\.0\.0\.1:1/ : /--listen/);
    }
  });

  it("a port in use", async () => {
    const router = await startRouter(site, {});
    const { status, err } = await serve({ SALLYPORT_LISTEN: `127.0.0.1:${router.port}` });
    assert.equal(status, 2, err);
    assert.match(err, /SALLYPORT_LISTEN: can't listen on 127\.0\.0\.1:\d+: another program listens there/);
    await router.stop();
  });

  it("a key that can't be read, without telling what is in it", async () => {
    writeFileSync(
      `${site.folder}/broken.key`,
      "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
    );
    chmodSync(`${site.folder}/broken.key`, 0o600);
    const { status, err } = await serve({ SALLYPORT_KEY: `${site.folder}/broken.key` });
    assert.equal(status, 2, err);
    assert.match(err, /SALLYPORT_KEY: .*can't be read/);
    assert.ok(!err.includes("c2VjcmV0"));
  });
});
