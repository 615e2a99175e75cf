import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { version } from "../../src/version.ts";
import { dialTcp, firstBytes } from "../support/client.ts";
import { client, startProxy } from "../support/local-proxy.ts";
import { createSite, runtimeName, type Site, sallyport, startRouter } from "../support/router.ts";
import { run } from "../support/run.ts";
import { echo, tcpUpstream } from "../support/upstreams.ts";

type CommandLine = readonly [string, ...string[]];

let site: Site;
before(async () => {
  site = await createSite(["localhost", "echo.localhost"]);
});
after(() => site?.remove());

/** Serves with it, proxies with it, and has a word come back through both. */
async function servesAndProxies(on: CommandLine): Promise<void> {
  const upstream = await tcpUpstream(echo);
  const route = `tcp://127.0.0.1:${upstream.port}?sni=echo.localhost`;
  const router = await startRouter(site, { SALLYPORT_ROUTE_ECHO: route }, { on });
  try {
    const options = { router: `localhost:${router.port}`, on };
    const proxy = await startProxy(site, options, ["tcp", "echo"]);
    try {
      const socket = await dialTcp(proxy.port);
      socket.write("through both");
      assert.equal((await firstBytes(socket))?.toString(), "through both");
      socket.destroy();
    } finally {
      await proxy.stop();
    }
    const { out, err } = await client(site, options, ["config", "ssh", "--host", "*.ssh.localhost"]);
    assert.ok(out.includes(`ProxyCommand ${on.join(" ")} proxy ssh`), `it starts itself: ${out}${err}`);
  } finally {
    await router.stop();
    upstream.close();
  }
}

/** Makes the program one file with the runtime under test. */
const file = resolve(`dist/executable-${runtimeName}`);
const made = spawnSync("node", [".ci/executable.mjs", "--with", runtimeName, "--out", file], {
  encoding: "utf8",
});
/** Deno fetches its half of the file from its makers. */
const missingHalf = /(denort-[\w-]+)\.zip[\s\S]*error sending request/.exec(made.stderr)?.[1];

describe("the program in one file", {
  skip: missingHalf === undefined ? false : `can't be downloaded: ${missingHalf}`,
}, () => {
  it("needs nothing beside it, serves and proxies; on Node it is not made", async () => {
    if (runtimeName.startsWith("node")) {
      assert.equal(made.status, 2);
      assert.match(made.stderr, /--with node\S*: expected bun or deno/);
      return;
    }
    assert.equal(made.status, 0, made.stderr);
    const { status, out } = await run(file, ["--version"], { cwd: site.folder, env: {} });
    assert.deepEqual([status, out.trim()], [0, version]);
    await servesAndProxies([file]);
  });
});

describe("the npm package", () => {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
  };
  let folder: string;
  let inside: string;
  before(async () => {
    folder = join(site.folder, "installed");
    inside = join(folder, "node_modules", "sallyport");
    mkdirSync(join(folder, "node_modules", ".bin"), { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ dependencies: { sallyport: version } }));
    // As npm would install it, with what it declares and nothing else.
    for (const [path, { dev = false }] of Object.entries(lock.packages)) {
      if (path === "" || dev || path.includes("/node_modules/", 1)) continue;
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      symlinkSync(resolve(path), join(folder, path));
    }
    const packed = await run("npm", ["pack", "--silent", "--pack-destination", folder], { ms: 60_000 });
    assert.equal(packed.status, 0, packed.err);
    mkdirSync(inside);
    const file = join(folder, packed.out.trim());
    const { status, err } = await run("tar", ["-xzf", file, "-C", inside, "--strip-components=1"]);
    assert.equal(status, 0, err);
    // npm makes a package's programs executable, and links them.
    chmodSync(join(inside, "dist", "src", "main.js"), 0o755);
    symlinkSync("../sallyport/dist/src/main.js", join(folder, "node_modules", ".bin", "sallyport"));
  });

  it("has its program in reach of npx", async () => {
    const env = { ...process.env, PATH: `${dirname(sallyport[0])}:${process.env.PATH}` };
    const { status, out, err } = await run("npx", ["--no-install", "sallyport", "--version"], {
      cwd: folder,
      env,
      ms: 60_000,
    });
    assert.equal(status, 0, err);
    assert.equal(out.trim(), version);
  });

  it("serves and proxies", async () => {
    const [command] = sallyport;
    const main = join(inside, "dist", "src", "main.js");
    await servesAndProxies(runtimeName === "deno" ? [command, "run", "-A", main] : [command, main]);
  });

  it("holds no tests, no sources and no keys", async () => {
    const { out } = await run("npm", ["pack", "--dry-run", "--json"], { ms: 60_000 });
    const [{ files }] = JSON.parse(out) as [{ files: { path: string }[] }];
    const odd = files
      .map(({ path }) => path)
      .filter(
        (path) =>
          !/^(?:dist\/(?:src|routes)\/.*\.(?:c?js(?:\.map)?|d\.c?ts)|package\.json|README\.md|LICENSE)$/.test(
            path,
          ),
      );
    assert.deepEqual(odd, []);
  });
});
