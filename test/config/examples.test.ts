import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { ca, folder, load, server } from "../support/environment.ts";

/** Pages whose settings a test of their own looks at. */
const apart: ReadonlySet<string> = new Set([
  "acme.md",
  "configuration.md",
  "limits.md",
  "operating.md",
  "several-machines.md",
  "tunnels.md",
]);

/** What examples take from elsewhere: passwords, and an authority that mints certificates. */
const elsewhere: Readonly<Record<string, string>> = {
  SALLYPORT_AUTHORITY: "/etc/sallyport/ca",
  ORDERS_PASSWORD: "of-orders",
  SHOP_PASSWORD: "of-shop",
  CACHE_PASSWORD: "of-cache",
  DATA_PASSWORD: "of-data",
  WEB_SECRET: "of-web",
};

/** Whatever path an example names holds what its name promises. */
const contentOf = (path: string): string => {
  if (path.endsWith(".token")) return "a.bearer.token\n";
  if (path.endsWith(".key")) return server.key;
  return /ca\.crt$/.test(path) ? ca : server.cert;
};
const disk = {
  ...folder({}),
  read: contentOf,
  readBytes: (path: string) => Buffer.from(contentOf(path)),
};

const setting = /^(?:export )?([A-Z]\w+)=(?:"([^"]*)"|'([^']*)'|(\S+))$/;

/** The settings in a block of a page; none where it is a command. */
const settingsOf = (block: string): [string, string][] =>
  block.split("\n").flatMap((line): [string, string][] => {
    const [, name, double, single, bare] = setting.exec(line) ?? [];
    return name === undefined ? [] : [[name, double ?? single ?? bare ?? ""]];
  });

describe("settings in the guides", () => {
  for (const page of readdirSync("docs").filter((name) => name.endsWith(".md") && !apart.has(name))) {
    const blocks = readFileSync(`docs/${page}`, "utf8").matchAll(/^```sh\n([\s\S]*?)^```/gm);
    for (const [, block = ""] of blocks) {
      const settings = settingsOf(block).filter(([name]) => name.startsWith("SALLYPORT_"));
      if (settings.length === 0) continue;
      it(`${page}: ${settings.at(-1)?.[0]} and what is with it make a configuration`, () => {
        const { table } = load({ ...elsewhere, ...Object.fromEntries(settings) }, disk);
        const asked = settings.filter(([name]) => name.startsWith("SALLYPORT_ROUTE_")).map(([name]) => name);
        for (const variable of asked)
          assert.ok(
            table.routes.some((route) => route.variable === variable),
            variable,
          );
      });
    }
  }
});
