import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import { atEnd } from "./at-end.ts";
import { answers, freePort } from "./ports.ts";
import { program } from "./programs.ts";
import type { Site } from "./router.ts";

export interface Pebble {
  /** The URL of its directory. */
  readonly directory: string;
  /** Its roots, which it makes anew whenever it starts, are asked for here. */
  readonly management: string;
  /** Everything that it said. */
  log(): string;
  stop(): void;
}

export interface PebbleOptions {
  /** Where it looks for routers. */
  readonly tlsPort: number;
  readonly httpPort?: number;
  /** Of the certificates that it issues. */
  readonly validSeconds?: number;
  /** By id, base64url: accounts must be bound to one of them. */
  readonly macKeys?: Readonly<Record<string, string>>;
}

/** The ACME server of Let's Encrypt for tests, for which every name is at 127.0.0.1; its own certificate is the site's. */
export async function startPebble(site: Site, options: PebbleOptions): Promise<Pebble> {
  const [port, management, dns, dnsManagement] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const folder = join(site.folder, `pebble-${port}`);
  mkdirSync(folder);
  writeFileSync(
    join(folder, "config.json"),
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${management}`,
        certificate: join(site.folder, "server.crt"),
        privateKey: join(site.folder, "server.key"),
        httpPort: options.httpPort ?? 1,
        tlsPort: options.tlsPort,
        ocspResponderURL: "",
        externalAccountBindingRequired: options.macKeys !== undefined,
        externalAccountMACKeys: options.macKeys ?? {},
        ...(options.validSeconds === undefined ? {} : { certificateValidityPeriod: options.validSeconds }),
      },
    }),
  );
  const resolver = spawn(
    program("pebble-challtestsrv"),
    [
      ...["-dns01", `127.0.0.1:${dns}`, "-management", `127.0.0.1:${dnsManagement}`],
      ...["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""],
    ],
    { stdio: "ignore" },
  );
  const server = spawn(
    program("pebble"),
    ["-config", join(folder, "config.json"), "-dnsserver", `127.0.0.1:${dns}`, "-strict"],
    {
      env: {
        ...process.env,
        PEBBLE_VA_NOSLEEP: "1",
        // What is proven once is to be proven again, but for one time in a hundred: it counts from 0 to there. One nonce
        // in ten is refused; the library asks six times, which all fail once in a million.
        PEBBLE_AUTHZREUSE: "0",
        PEBBLE_WFE_NONCEREJECT: "10",
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const stop = (): void => {
    server.kill("SIGKILL");
    resolver.kill("SIGKILL");
  };
  atEnd(stop);
  let said = "";
  for (const stream of [server.stdout, server.stderr])
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
  await Promise.all([answers(port), answers(management), answers(dnsManagement)]);
  return {
    directory: `https://localhost:${port}/dir`,
    management: `https://localhost:${management}`,
    log: () => said,
    stop,
  };
}

/** What whoever trusts its certificates trusts, PEM. */
export const rootOf = (site: Site, pebble: Pebble): Promise<string> =>
  new Promise((resolve, reject) => {
    get(`${pebble.management}/roots/0`, { ca: readFileSync(join(site.folder, "ca.crt")) }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => resolve(Buffer.concat(chunks).toString()));
    }).on("error", reject);
  });
