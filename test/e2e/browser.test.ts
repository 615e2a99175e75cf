import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { exportPKCS8, generateKeyPair } from "jose";
import { ca } from "../../src/cli/ca.ts";
import { atEnd } from "../support/at-end.ts";
import { logInWithChromium } from "../support/chromium.ts";
import { startOpenIdProvider, webSecret } from "../support/openid-provider.ts";
import { missing, program } from "../support/programs.ts";
import { type Site, startRouter } from "../support/router.ts";
import { run } from "../support/run.ts";
import { httpUpstream } from "../support/upstreams.ts";

const command = async (...args: string[]): Promise<void> => {
  assert.equal(await ca.run(args, { env: {}, out: () => {}, err: () => {} }), 0);
};

/** Has browsers whose HOME is this folder trust an authority. */
async function trust(folder: string, certificate: string): Promise<void> {
  const store = `sql:${join(folder, ".pki/nssdb")}`;
  mkdirSync(join(folder, ".pki/nssdb"), { recursive: true });
  const nss = (...args: string[]) => run(program("certutil"), ["-d", store, ...args]);
  await nss("-N", "--empty-password");
  await nss("-A", "-t", "C,,", "-n", "Test", "-i", certificate);
}

describe("Chromium", { skip: missing("chromium", "certutil") }, () => {
  it("takes the server certificates of the authority, by name, once its root is trusted", async (test) => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-chromium-"));
    // When router and browser have ended, which write there; and even then a part of them may be writing still.
    atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
    const at = (name: string): string => join(folder, name);
    await command("init", "--dir", at("ca"), "--permit-dns", "example.com", "--permit-dns", "localhost");
    const names = ["--name", "gate.example.com", "--name", "localhost"];
    await command("server", "--dir", at("ca"), ...names, "--out", at("server"));
    const router = await startRouter({ folder } as Site, {
      SALLYPORT_CLIENT_CA: at("ca/ca.crt"),
      SALLYPORT_HOST: "gate.example.com",
    });
    test.after(() => router.stop());

    const browse = async (host: string): Promise<string> => {
      const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"];
      const profile = `--user-data-dir=${at("profile")}`;
      const resolve = `--host-resolver-rules=MAP * 127.0.0.1:${router.port}`;
      const { out } = await run(
        program("chromium"),
        [...flags, profile, resolve, "--dump-dom", `https://${host}/`],
        { env: { PATH: process.env.PATH, HOME: folder }, ms: 60_000 },
      );
      return out;
    };
    assert.doesNotMatch(await browse("gate.example.com"), /<h1>Sallyport<\/h1>/, "not trusted yet");
    await trust(folder, at("ca/ca.crt"));
    assert.match(await browse("gate.example.com"), /<h1>Sallyport<\/h1>/);
  });

  it("signs in at a real provider as docs/browser-login.md has it, and may act on the page's own behalf alone", async (test) => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-chromium-"));
    // When router and browser have ended, which write there; and even then a part of them may be writing still.
    atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
    const at = (name: string): string => join(folder, name);
    await command("init", "--dir", at("ca"), "--permit-dns", "example.com");
    const names = ["--name", "gate.example.com", "--name", "app.example.com", "--name", "open.example.com"];
    await command("server", "--dir", at("ca"), ...names, "--out", at("server"));
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    writeFileSync(at("jwt.key"), await exportPKCS8(privateKey));
    const posted: string[] = [];
    // Pages write what they see of cookies to their own origin and to the app's.
    const upstream = await httpUpstream((request, response) => {
      response.setHeader("content-type", "text/html");
      if (request.method === "POST") {
        request.on("data", (chunk) => posted.push(`${request.headers.host} ${chunk}`));
        request.on("end", () => response.end());
        return;
      }
      const script = `const to = (url) =>
          fetch(url, { method: "POST", credentials: "include", body: "cookies: " + document.cookie }).catch(() => {});
        Promise.all([to("/"), to("https://app.example.com/")]).then(() => { document.title = "done"; })`;
      response.end(`<body>hello<script>${script}</script>`);
    });
    test.after(() => upstream.close());
    const provider = await startOpenIdProvider();
    test.after(() => provider.close());

    const [, example = ""] = /```sh\n([\s\S]*?)```/.exec(readFileSync("docs/browser-login.md", "utf8")) ?? [];
    const env = Object.fromEntries(
      example
        .trimEnd()
        .split("\n")
        .map((line) => {
          const [, name = "", quoted, bare = ""] =
            /^(\w+)=(?:"([^"]*)"|(\S+))$/.exec(line) ?? assert.fail(line);
          const value = (quoted ?? bare)
            .replace("/etc/sallyport/client-ca.crt", at("ca/ca.crt"))
            .replace("/etc/sallyport", folder)
            .replace("https://login.example.com", provider.issuer)
            .replace("10.0.3.7:8080", `127.0.0.1:${upstream.port}`);
          return [name, value];
        }),
    );
    const router = await startRouter({ folder } as Site, {
      ...env,
      WEB_SECRET: webSecret,
      SALLYPORT_ROUTE_OPEN: `http://127.0.0.1:${upstream.port}?sni=open.example.com&client=none`,
    });
    test.after(() => router.stop());
    await trust(folder, at("ca/ca.crt"));
    const map = ["gate", "app", "open"].map((name) => `MAP ${name}.example.com 127.0.0.1:${router.port}`);
    const text = await logInWithChromium(program("chromium"), "https://app.example.com/a?b", "alice", {
      flags: [`--host-resolver-rules=${map.join(",")}`],
      env: { PATH: process.env.PATH, HOME: folder },
      // Then to a page of another origin of the same site, and back to sign out.
      until: `(() => {
        if (document.title === "done" && location.href === "https://app.example.com/a?b")
          location.href = "https://open.example.com/";
        if (document.title === "done" && location.href === "https://open.example.com/")
          location.href = "https://app.example.com/.well-known/sallyport/sign-out";
        if (document.title === "Sign out") document.querySelector("button").click();
        return document.title === "You are signed out";
      })()`,
    });
    assert.match(text, /You are signed out/);
    // No script sees the cookie. The app's own requests passed; the other page's, with the same cookie, did not.
    const all = ["app.example.com cookies: ", "app.example.com cookies: ", "open.example.com cookies: "];
    assert.deepEqual(posted.sort(), all);
    const served = await router.record(
      ({ logins, reason }) => logins !== null && reason === "source_not_allowed",
    );
    assert.equal(served.identity?.subject, "CN=alice@example.com,OU=payments");
  });
});
