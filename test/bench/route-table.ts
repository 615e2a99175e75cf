import { schemes } from "../../src/adapters/registry.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { RouteTable } from "../../src/core/match.ts";
import { files } from "../../src/runtime/files.ts";

/** So many routes, `r0.bench.test` and on, read from variables as ever; the certificates are those of the run. */
export function routeTable(count: number, folder: string): RouteTable {
  const env: Record<string, string> = {
    SALLYPORT_LISTEN: "127.0.0.1:0",
    SALLYPORT_CERT: `${folder}/server.crt`,
    SALLYPORT_KEY: `${folder}/server.key`,
    SALLYPORT_CLIENT_CA: `${folder}/ca.crt`,
  };
  for (let i = 0; i < count; i++) env[`SALLYPORT_ROUTE_R${i}`] = `tls://127.0.0.1:443?sni=r${i}.bench.test`;
  return loadConfig(env, schemes, files).table;
}
