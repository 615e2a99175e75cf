import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import type { RequestRecord } from "../../src/core/record.ts";
import { dial, firstBytes } from "../support/client.ts";
import { impersonation, type KubernetesApi, startKubernetes } from "../support/kubernetes.ts";
import { client, startProxy, type TestProxy } from "../support/local-proxy.ts";
import { freePort } from "../support/ports.ts";
import { missing, program } from "../support/programs.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

describe("kubectl", { skip: missing("kubectl", "script", "tar") }, () => {
  let site: Site;
  let api: KubernetesApi;
  let router: TestRouter;
  let proxy: TestProxy;
  let service: Upstream;
  let kubeconfig: string;

  before(async () => {
    site = await createSite(["localhost", "kube.example.com"]);
    api = await startKubernetes(site, impersonation("the-routers", "payments"));
    site.save("bob", await site.authority.client({ commonName: "bob" }, 86_400_000));
    service = await tcpUpstream(echo);
    router = await startRouter(site, {
      SALLYPORT_ROUTE_PROD: `kubernetes://localhost:${api.port}?sni=kube.example.com&upstream_ca=${encodeURIComponent(`${site.folder}/ca.crt`)}&upstream_token=the-routers`,
    });
    kubeconfig = `${site.folder}/kubeconfig`;
    writeFileSync(
      kubeconfig,
      "# kept\napiVersion: v1\nkind: Config\ncurrent-context: mine\nclusters:\n- name: mine # mine too\n  cluster: {server: 'https://mine'}\n",
    );
    const made = await client(site, { router: `localhost:${router.port}` }, [
      "config",
      "kube",
      "prod",
      "--kubeconfig",
      kubeconfig,
      "--use",
    ]);
    assert.equal(made.status, 0, made.err);
    proxy = await startProxy(
      site,
      { router: `localhost:${router.port}`, env: { SALLYPORT_TUNNEL: "always" } },
      ["kube", "prod"],
    );
  });
  after(async () => {
    await proxy?.stop();
    await router?.stop();
    api?.stop();
    service?.close();
    site?.remove();
  });

  const environment = (config: string, more: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({
    PATH: process.env.PATH,
    HOME: site.folder,
    KUBECONFIG: config,
    XDG_CONFIG_HOME: `${site.folder}/config`,
    ...more,
  });
  type Kubectl = (
    args: readonly string[],
    more?: Readonly<Record<string, string>>,
    input?: string,
  ) => Promise<Finished>;
  const using =
    (config: () => string): Kubectl =>
    (args, more = {}, input) =>
      run(program("kubectl"), args, {
        env: environment(config(), more),
        ms: 60_000,
        ...(input === undefined ? {} : { input: [input] }),
      });

  it("keeps what was in the kubeconfig, and adds no secret to it", () => {
    const text = readFileSync(kubeconfig, "utf8");
    assert.match(text, /^# kept\n/);
    assert.match(text, /name: mine # mine too\n/);
    assert.match(text, /tls-server-name: kube\.example\.com/);
    assert.match(text, /current-context: sallyport-prod/);
    assert.doesNotMatch(text, /PRIVATE KEY|client-key-data/);
  });

  const ways: readonly (readonly [string, () => string])[] = [
    ["with the entry that config kube wrote", () => kubeconfig],
    ["through proxy kube, inside a WebSocket", () => proxy.kubeconfig ?? ""],
  ];
  for (const [way, config] of ways) {
    const kubectl = using(config);

    describe(way, () => {
      it("gets", async () => {
        const { status, out, err } = await kubectl(["get", "pods", "-o", "name"]);
        assert.deepEqual([status, out], [0, "pod/web-0\n"], err);
        assert.equal(api.requests.at(-1)?.host, `localhost:${api.port}`);
      });

      it("follows logs as they come", async () => {
        const child = spawn(program("kubectl"), ["logs", "-f", "web-0"], {
          env: environment(config(), {}),
          stdio: ["ignore", "pipe", "inherit"],
        });
        const times: number[] = [];
        let text = "";
        child.stdout.on("data", (data) => {
          text += data;
          times.push(Date.now());
        });
        await new Promise((resolve) => child.once("close", resolve));
        assert.equal(text, "line 1\nline 2\nline 3\nline 4\nline 5\n");
        assert.ok(times.length >= 3, "line by line, not all at the end");
      });

      for (const [protocol, sockets] of [
        ["WebSocket", "true"],
        ["SPDY", "false"],
      ] as const) {
        const env = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: sockets, KUBECTL_PORT_FORWARD_WEBSOCKETS: sockets };

        it(`executes over ${protocol}, with input, both outputs and the exit status`, async () => {
          const { status, out, err } = await kubectl(
            ["exec", "-i", "web-0", "--", "sh", "-c", "cat; echo warned >&2; exit 3"],
            env,
            "fed\n",
          );
          assert.equal(out, "fed\n", err);
          assert.match(err, /^warned$/m);
          assert.equal(status, 3);
        });

        it(`executes on a terminal over ${protocol}`, async () => {
          const quoted = `${program("kubectl")} exec -it web-0 -- sh -c 'test -t 0 && echo on a terminal; exit 4'`;
          const { status, out } = await run("script", ["-qefc", quoted, "/dev/null"], {
            env: { ...environment(config(), env), SHELL: "/bin/sh", TERM: "dumb" },
            ms: 60_000,
            input: [""],
          });
          assert.match(out, /on a terminal/);
          assert.equal(status, 4);
        });

        it(`copies in and out over ${protocol}`, async () => {
          const bytes = Buffer.from(
            Uint8Array.from({ length: 2_000_000 }, (_, i) => (i * 13 + (i >> 8)) & 255),
          );
          const sum = (data: Buffer): string => createHash("sha256").update(data).digest("hex");
          writeFileSync(`${site.folder}/up`, bytes);
          const up = await kubectl(["cp", `${site.folder}/up`, `web-0:${site.folder}/there`], env);
          assert.equal(up.status, 0, up.err);
          assert.equal(sum(readFileSync(`${site.folder}/there`)), sum(bytes));
          const down = await kubectl(["cp", `web-0:${site.folder}/there`, `${site.folder}/back`], env);
          assert.equal(down.status, 0, down.err);
          assert.equal(sum(readFileSync(`${site.folder}/back`)), sum(bytes));
        });

        it(`forwards a port over ${protocol}`, async () => {
          const local = await freePort();
          const child = spawn(program("kubectl"), ["port-forward", "pod/web-0", `${local}:${service.port}`], {
            env: environment(config(), env),
            stdio: ["ignore", "pipe", "pipe"],
          });
          let said = "";
          child.stdout.on("data", (data) => {
            said += data;
          });
          child.stderr.on("data", (data) => {
            said += data;
          });
          try {
            for (let i = 0; i < 2400 && !said.includes("Forwarding from 127.0.0.1"); i++)
              await new Promise((resolve) => setTimeout(resolve, 25));
            for (const text of ["one", "two"]) {
              const socket = connect(local, "127.0.0.1");
              socket.write(text);
              assert.equal((await firstBytes(socket))?.toString(), text, said);
              socket.destroy();
            }
          } finally {
            child.kill("SIGKILL");
          }
        });
      }
    });
  }

  it("no page elsewhere acts as its reader, though any may open a WebSocket", async () => {
    const exec = "/api/v1/namespaces/default/pods/web-0/exec?command=id&stdout=1";
    const upgrade =
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n";
    const places = [
      {
        scheme: "http",
        host: "localhost",
        port: proxy.port,
        open: async () => connect(proxy.port, "127.0.0.1"),
      },
      {
        scheme: "https",
        host: "kube.example.com",
        port: router.port,
        open: () => dial(site, router.port, "kube.example.com", { ALPNProtocols: ["http/1.1"] }),
      },
    ];
    for (const { scheme, host, port, open } of places) {
      const answer = async (line: string): Promise<string> => {
        const socket = await open();
        socket.write(`GET ${exec} HTTP/1.1\r\nHost: ${host}:${port}\r\n${line}\r\n${upgrade}\r\n`);
        const bytes = await firstBytes(socket);
        socket.destroy();
        return bytes?.toString() ?? "";
      };
      const asked = api.requests.length;
      const own = `${scheme}://${host}:${port}`;
      for (const line of [
        // What an app behind the API server serves, and a browser that says nothing else of a WebSocket.
        "Sec-Fetch-Site: same-origin",
        `Origin: ${own}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)`,
        "Origin: https://evil.example",
        "Origin: null",
        `Origin: ${scheme}://${host}:${port + 1}`,
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
      ])
        assert.match(await answer(line), /^HTTP\/1\.1 403 /, line);
      assert.equal(api.requests.length, asked);
      assert.match(await answer(`Origin: ${own}`), /^HTTP\/1\.1 101 /);
    }
  });

  describe("more of kubectl", () => {
    const kubectl = using(() => kubeconfig);

    it("lists in chunks", async () => {
      const before = api.requests.length;
      const { status, out, err } = await kubectl(["get", "configmaps", "-o", "name", "--chunk-size", "5"]);
      assert.deepEqual([status, out.trim().split("\n").length], [0, 12], err);
      assert.equal(api.requests.slice(before).filter(({ url }) => url.includes("/configmaps?")).length, 3);
    });

    it("applies big objects on the server's side", async () => {
      const data = Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`k${i}`, "x".repeat(1000)]));
      const big = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "big" }, data };
      writeFileSync(`${site.folder}/big.json`, JSON.stringify(big));
      const { status, out, err } = await kubectl([
        "apply",
        "--server-side",
        "--validate=false",
        "-f",
        `${site.folder}/big.json`,
      ]);
      assert.deepEqual([status, out], [0, "configmap/big serverside-applied\n"], err);
      assert.ok(api.applied() > 900_000, String(api.applied()));
    });

    it("watches, and is recorded as the one who did", async () => {
      const from = router.now();
      const child = spawn(program("kubectl"), ["get", "pods", "-w", "-o", "name"], {
        env: environment(kubeconfig, {}),
        stdio: ["ignore", "pipe", "inherit"],
      });
      let text = "";
      await new Promise<void>((resolve) => {
        child.once("close", () => resolve());
        child.stdout.on("data", (data) => {
          text += data;
          if (text === "pod/web-0\npod/web-0\n") resolve();
        });
      });
      child.kill("SIGKILL");
      assert.equal(text, "pod/web-0\npod/web-0\n");
      const watches = (one: object): boolean => "verb" in one && one.verb === "watch";
      const begun: object = await router.record(
        (one) => watches(one) && (one.event as string) !== "request",
        from,
      );
      const over: object = await router.record(
        (one) => watches(one) && (one.event as string) === "request",
        from,
      );
      for (const record of [begun, over]) {
        const { user, groups, resource, namespace, status } = record as RequestRecord;
        assert.deepEqual(
          [user, groups, resource, namespace, status],
          ["alice", ["payments"], "pods", "default", 200],
        );
      }
    });

    for (const sockets of ["true", "false"])
      it(`attaches, over ${sockets === "true" ? "WebSocket" : "SPDY"}`, async () => {
        const env = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: sockets };
        const { out, err } = await kubectl(["attach", "-i", "web-0"], env, "fed\n");
        assert.equal(out, "fed\n", err);
      });

    it("proxies", async () => {
      const child = spawn(program("kubectl"), ["proxy", "--port", "0"], {
        env: environment(kubeconfig, {}),
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        const said = await new Promise<string>((resolve) => {
          child.stdout.once("data", (data) => resolve(String(data)));
        });
        const at = /127\.0\.0\.1:\d+/.exec(said)?.[0];
        const answer = await fetch(`http://${at}/api/v1/namespaces/default/pods/web-0`);
        assert.equal(((await answer.json()) as { kind: string }).kind, "Pod");
      } finally {
        child.kill("SIGKILL");
      }
    });

    it("is told what RBAC says of somebody else", async () => {
      const made = await client(site, { router: `localhost:${router.port}`, as: "bob" }, [
        "connect",
        "prod",
        "--",
        "get",
        "pods",
      ]);
      assert.equal(made.status, 1);
      assert.match(made.err, /RBAC says no/);
    });
  });

  it("connect starts kubectl with a kubeconfig of its own", async () => {
    const { status, out, err } = await client(site, { router: `localhost:${router.port}` }, [
      "connect",
      "prod",
      "--",
      "get",
      "pods",
      "-o",
      "name",
    ]);
    assert.deepEqual([status, out], [0, "pod/web-0\n"], err);
  });

  it("nobody acts as somebody else", async () => {
    const { status, err } = await using(() => kubeconfig)(["get", "pods", "--as", "root"]);
    assert.equal(status, 1);
    assert.match(err, /Error from server \(Forbidden\): sallyport: nobody of this route may act as root/);
  });
});
