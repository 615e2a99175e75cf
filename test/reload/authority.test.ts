import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type OpenAuthorityApi, openAuthorityApi } from "../../src/authority-api.ts";
import { ca } from "../../src/cli/ca.ts";
import { Rate } from "../../src/enrolment/rate.ts";
import { createClientVerifier } from "../../src/identity/verifier.ts";
import { silentLog } from "../../src/observe/log.ts";
import { SeenFiles } from "../../src/reload/seen-files.ts";
import { files } from "../../src/runtime/files.ts";
import { hourMs } from "../support/environment.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
const dir = join(folder, "ca");
const command = (...args: readonly string[]): Promise<number> =>
  ca.run(args, { env: {}, out: () => {}, err: () => {} });
before(async () => assert.equal(await command("init", "--dir", dir, "--name", "Test"), 0));
after(() => rmSync(folder, { recursive: true, force: true }));

const verifier = createClientVerifier([]);
const seen = new SeenFiles(files);
function open(previous: OpenAuthorityApi | null, own = verifier): Promise<OpenAuthorityApi> {
  const settings = {
    directory: dir,
    lifetimeMs: hourMs,
    renewalSpanMs: hourMs,
    perSource: 10,
    perIdentity: 10,
    sshPrincipals: [],
    providers: [],
  };
  const anchors = [readFileSync(`${dir}/ca.crt`, "utf8")];
  const world = {
    files: seen,
    anchors,
    verifier: own,
    audit: () => {},
    log: silentLog,
    rate: (most: number, what: string) => new Rate(most, what),
    sharedTokens: null,
  };
  return openAuthorityApi(settings, world, previous);
}

describe("the authority's API", () => {
  it("goes on as it is, unless it is opened with anything else; its files are among those that are watched", async () => {
    const first = await open(null);
    assert.equal(await open(first), first);
    assert.notEqual(await open(first, createClientVerifier([])), first);
    assert.equal(seen.changed().size, 0);
    assert.equal(await command("renew", "--dir", dir), 0);
    assert.ok(seen.changed().has(`${dir}/issuing.crt`));
    const renewed = await open(first);
    assert.notEqual(renewed, first);
    assert.notEqual(renewed.bundle, first.bundle);
  });
});
