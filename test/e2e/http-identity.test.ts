import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { decodeJwt, exportPKCS8, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { missing, program } from "../support/programs.ts";
import { createSite, environment, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { run } from "../support/run.ts";
import { httpUpstream, type Upstream } from "../support/upstreams.ts";

const python = "/usr/bin/python3";
const needsPython = ((): string | false => {
  const found = existsSync(python) && spawnSync(python, ["-c", "import jwt, cryptography"]).status === 0;
  return found ? false : "Python's jwt is not installed";
})();
const goPath = "/usr/share/gocode";
const needsGo =
  missing("go") ||
  (existsSync(`${goPath}/src/gopkg.in/square/go-jose.v2`) ? false : "Go's go-jose is not installed");
const spoofed = ["Sallyport-Identity", "sallyport_identity", "SALLYPORT-IDENTITY", "Sallyport_Identity"];

let site: Site;
let router: TestRouter;
let upstreams: Upstream[] = [];
let signing: CryptoKey;

before(async () => {
  site = await createSite(["localhost", "app.test", "other.test", "open.test", "kube.test"]);
  const echo = (): Promise<Upstream> =>
    httpUpstream(
      (request, response) => response.end(JSON.stringify(request.rawHeaders)),
      (_, socket) => socket.destroy(),
    );
  upstreams = [await echo(), await echo()];
  const [app, other] = upstreams.map(({ port }) => port);
  const pair = await generateKeyPair("ES256", { extractable: true });
  signing = pair.privateKey;
  router = await startRouter(site, {
    SALLYPORT_HOST: "localhost",
    SALLYPORT_JWT_KEY: await exportPKCS8(signing),
    SALLYPORT_ROUTE_APP: `http://127.0.0.1:${app}?sni=app.test`,
    SALLYPORT_ROUTE_OTHER: `http://127.0.0.1:${other}?sni=other.test`,
    SALLYPORT_ROUTE_OPEN: `http://127.0.0.1:${app}?sni=open.test&client=optional`,
    SALLYPORT_ROUTE_KUBE: `kubernetes://127.0.0.1:${app}?sni=kube.test&upstream_tls=off`,
  });
});
after(async () => {
  await router?.stop();
  for (const one of upstreams) one.close();
  site?.remove();
});

/** The values of every field that a server could take for the assertion. */
async function told(name: string, version: string, as: string | null = "alice"): Promise<string[]> {
  const { out, err } = await run(program("curl"), [
    "-sS",
    "--max-time",
    "20",
    version,
    "--cacert",
    `${site.folder}/ca.crt`,
    ...(as === null ? [] : ["--cert", `${site.folder}/${as}.crt`, "--key", `${site.folder}/${as}.key`]),
    "--connect-to",
    `::127.0.0.1:${router.port}`,
    ...spoofed.flatMap((field) => ["--header", `${field}: root`]),
    `https://${name}/`,
  ]);
  assert.ok(out.startsWith("["), `${out}${err}`);
  const raw = JSON.parse(out) as string[];
  return raw.filter((_, i) => /^sallyport[-_]/i.test(raw[i - 1] ?? "") && i % 2 === 1);
}

/** The example of the docs in one language, for the router and the upstream here. */
function example(language: string): string {
  const [, code = ""] =
    new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(readFileSync("docs/identity.md", "utf8")) ?? [];
  assert.ok(code.includes("https://gate.example.com:8443/.well-known/jwks.json"), language);
  return code
    .replace("https://gate.example.com:8443/", `https://localhost:${router.port}/`)
    .replace("https://gate.example.com", "https://localhost")
    .replace("http://10.0.3.7:8080", `http://127.0.0.1:${upstreams[0]?.port}`);
}

/** Go's example, compiled: it prints whose token it is. */
function goProgram(code: string): string {
  const at = `${site.folder}/who-is`;
  const main = `
func main() {
	who, err := whoIs(os.Getenv("TOKEN"))
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString(who)
}
`;
  writeFileSync(`${at}.go`, code.replace('"net/http"', '"net/http"\n\t"os"') + main);
  const { status, stderr } = spawnSync("go", ["build", "-o", at, `${at}.go`], {
    encoding: "utf8",
    env: { HOME: "/tmp", ...process.env, GO111MODULE: "off", GOPATH: goPath },
  });
  assert.equal(status, 0, stderr);
  return at;
}

const unsigned = (claims: object): string =>
  `${[{ alg: "none", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".")}.`;

describe("Sallyport-Identity", { skip: missing("curl") }, () => {
  for (const version of ["--http1.1", "--http2"]) {
    it(`is the router's alone, and for one upstream, ${version}`, async () => {
      const claims = [];
      for (const name of ["app.test", "other.test"]) {
        const [token = "", ...more] = await told(name, version);
        assert.deepEqual(more, []);
        claims.push(decodeJwt(token));
      }
      assert.deepEqual(
        claims.map(({ aud }) => aud),
        upstreams.map(({ port }) => `http://127.0.0.1:${port}`),
      );
      for (const { iss, sub, iat = 0, exp = 0, groups } of claims) {
        assert.equal(iss, "https://localhost");
        assert.match(sub ?? "", /CN=alice/);
        assert.equal(exp - iat, 60);
        assert.deepEqual(groups, ["payments"]);
      }
    });

    it(`is nowhere without a certificate, nor at a Kubernetes API, ${version}`, async () => {
      assert.deepEqual(await told("open.test", version, null), []);
      assert.equal((await told("open.test", version)).length, 1);
      assert.deepEqual(await told("kube.test", version), []);
    });
  }

  const js = "\nconsole.log(await whoIs(process.env.TOKEN));";
  const py = '\nimport os; print(who_is(os.environ["TOKEN"]))';
  for (const [language, commandFor, skip] of [
    ["js", (code: string) => ["node", "--input-type=module", "-e", code + js], false],
    ["python", (code: string) => [python, "-c", code + py], needsPython],
    ["go", (code: string) => [goProgram(code)], needsGo],
  ] as const)
    it(`is verified as the docs say: ${language}; nothing else is`, { skip }, async () => {
      const [token = ""] = await told("app.test", "--http1.1");
      const [elsewhere = ""] = await told("other.test", "--http1.1");
      const claims = decodeJwt(token);
      const forged = await generateKeyPair("ES256");
      const header = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString());
      const signed = (more: object, key: CryptoKey = signing): Promise<string> =>
        new SignJWT({ ...claims, ...more } as JWTPayload).setProtectedHeader(header).sign(key);
      const [command = "", ...args] = commandFor(example(language));
      const ca = `${site.folder}/ca.crt`;
      const asked = (text: string) =>
        run(command, args, {
          env: environment({ TOKEN: text, NODE_EXTRA_CA_CERTS: ca, SSL_CERT_FILE: ca }),
          ms: 60_000,
        });
      const [good, ...bad] = await Promise.all(
        [
          token,
          elsewhere,
          await signed({ exp: Math.floor(Date.now() / 1000) - 1 }),
          await signed({ exp: undefined }),
          await signed({ iss: "https://elsewhere.example.com" }),
          await signed({}, forged.privateKey),
          unsigned(claims),
        ].map(asked),
      );
      assert.equal(good?.out.trim(), claims.sub, String(good?.err));
      const why = [/aud/i, /exp/i, /exp/i, /iss/i, /signature/i, /alg|kid|key/i];
      for (const [i, { status, out, err }] of bad.entries()) {
        assert.notEqual(status, 0);
        assert.equal(out, "");
        assert.match(err.trim().split("\n").slice(-12).join("\n"), why[i] ?? /^$/);
      }
    });
});
