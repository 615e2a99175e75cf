import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { encodeHello } from "../../src/tunnel/wire.ts";
import { Chromium } from "../support/chromium.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { startProxy, type TestProxy } from "../support/local-proxy.ts";
import { findProgram } from "../support/programs.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const hourMs = 3_600_000;
const chromium = findProgram("chromium") ?? findProgram("chromium-browser");
const guide = readFileSync("docs/status-page.md", "utf8");
const axe = "test/runtimes/node_modules/axe-core/axe.min.js";
const tags = ["wcag2a", "wcag2aa", "wcag2aaa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

describe("the status page in Chromium", {
  skip: chromium === undefined ? "not installed: chromium" : false,
}, () => {
  let site: Site;
  let router: TestRouter;
  let upstream: Upstream;
  let proxy: TestProxy;
  let browser: Chromium;
  const tcp = { ALPNProtocols: ["sallyport-tcp"] };
  before(async () => {
    site = await createSite(["localhost", "*.example.com"]);
    for (const [name, group] of [
      ["olga", "operators"],
      ["edge-1", "edge"],
    ] as const)
      site.save(name, await site.authority.client({ commonName: name, groups: [group] }, hourMs));
    upstream = await tcpUpstream(echo);
    router = await startRouter(site, {
      SALLYPORT_ADMIN_ALLOW: /^export SALLYPORT_ADMIN_ALLOW='(.*)'$/m.exec(guide)?.[1] ?? "",
      SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1",
      SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${upstream.port}?sni=echo.example.com`,
      SALLYPORT_ROUTE_DOWN: "tcp://127.0.0.1:1?sni=down.example.com",
      SALLYPORT_ROUTE_PANEL: "http://127.0.0.1:1,127.0.0.1:2?sni=panel.example.com",
    });
    const agent = await dial(site, router.port, "localhost", {
      ALPNProtocols: ["sallyport-tunnel"],
      as: "edge-1",
    });
    const version = "<img src=x onerror='window.ran=1'>";
    agent.write(encodeHello({ name: "edge-1", services: ["web"], version }));
    await firstBytes(agent);
    await dial(site, router.port, "down.example.com", tcp).then(readAll);
    await dial(site, router.port, "<script>window.ran=1</script>.example.com", tcp).catch(() => {});
    // A browser has no certificate of ours: the local proxy shows its own.
    const [, command = ""] = /^sallyport proxy (app .*)$/m.exec(guide) ?? [];
    const words = command.replace("gate.example.com", "localhost").replace("8081", "0").split(" ");
    proxy = await startProxy(site, { router: `localhost:${router.port}`, as: "olga" }, words);
    browser = new Chromium(chromium ?? "");
    await browser.open(`http://localhost:${proxy.port}/`);
    await browser.until(`document.getElementById("live")?.textContent === "Live."`);
  });
  after(async () => {
    await browser?.close();
    await proxy?.stop();
    await router?.stop();
    upstream?.close();
    site?.remove();
  });

  for (const [name, view] of Object.entries({
    "in the light": { width: 1400, height: 900, scheme: "light" },
    "in the dark": { width: 1400, height: 900, scheme: "dark" },
    "on a phone": { width: 390, height: 844, scheme: "light" },
    "on a phone in the dark": { width: 390, height: 844, scheme: "dark" },
  } as const))
    it(`is accessible ${name}, and no wider than the screen`, async () => {
      await browser.view(view);
      const found = await browser.evaluate(
        `${readFileSync(axe, "utf8")};
        axe.run(document, { runOnly: ${JSON.stringify(tags)} }).then(({ violations, passes }) => ({
          violations: violations.map(({ id, nodes }) => id + " " + nodes[0].html),
          passed: passes.length,
          dark: matchMedia("(prefers-color-scheme: dark)").matches,
          tooWide: document.documentElement.scrollWidth > innerWidth,
        }))`,
      );
      const { violations, passed, dark, tooWide } = found as Readonly<Record<string, unknown>>;
      assert.deepEqual([violations, dark, tooWide], [[], view.scheme === "dark", false]);
      assert.ok(Number(passed) > 30, `${passed} rules passed`);
    });

  it("shows a connection that comes, and goes, without being loaded anew", async () => {
    await browser.evaluate("void (window.since = 1)");
    const socket = await dial(site, router.port, "echo.example.com", tcp);
    socket.write("x");
    await firstBytes(socket);
    const shown = `document.getElementById("connections").textContent.includes("echo.example.com")`;
    await browser.until(shown);
    socket.destroy();
    await browser.until(`!${shown} && window.since === 1`);
  });

  it("can be paused", async () => {
    const click = `document.getElementById("pause").click()`;
    const words = `document.getElementById("live").textContent`;
    await browser.evaluate(click);
    assert.equal(await browser.evaluate(words), "Paused.");
    await browser.until(`document.getElementById("pause").textContent === "Go on"`);
    await browser.evaluate(click);
    assert.equal(await browser.evaluate(words), "Live.");
  });

  it("runs nothing but its own script", async () => {
    await browser.evaluate(`void (() => {
      const script = document.createElement("script");
      try { script.textContent = "window.ran = 1"; document.body.append(script); } catch { /* no trusted type */ }
      try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran=1'>"); } catch { /* the same */ }
    })()`);
    assert.deepEqual(
      await browser.evaluate(
        `[window.ran ?? null, document.querySelectorAll("img").length, document.body.textContent.includes("<img src=x")]`,
      ),
      [null, 0, true],
    );
  });

  it("is as good without its script as when it came", async () => {
    await browser.reload({ scripts: false });
    // Whole, too: what comes first is there before the rest.
    await browser.until(
      `document.readyState === "complete" && document.getElementById("live")?.textContent.trim() === "Reload for newer figures."`,
    );
    assert.deepEqual(
      await browser.evaluate(
        `[document.getElementById("pause").hidden, ...["routes", "agents", "certificates", "refusals"].map((id) => document.getElementById(id).rows.length)]`,
      ),
      [true, 5, 1, 2, 2],
    );
  });
});
