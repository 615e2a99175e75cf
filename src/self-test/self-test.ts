import { schemes } from "../adapters/registry.ts";
import { importSigningKey } from "../authority/keys.ts";
import { certificatesFromPem } from "../authority/pem.ts";
import { loadConfig } from "../config/load.ts";
import type { Files } from "../config/pem.ts";
import type { CertificateAndKey } from "../core/contexts.ts";
import { deadline } from "../core/deadline.ts";
import { lingeringClose } from "../core/linger.ts";
import type { ConnectionRecord } from "../core/record.ts";
import type { Reason } from "../errors.ts";
import { silentLog } from "../observe/log.ts";
import { startServer } from "../server.ts";
import type { Connection, Runtime, TlsClientOptions } from "../types.ts";
import { type SelfTestAuthority, selfTestAuthority } from "./certificates.ts";
import { impersonate } from "./impostor.ts";

const serverName = "self-test.invalid";
const attemptMs = 5000;
const dayMs = 24 * 3_600_000;

type Dial = (tls?: TlsClientOptions) => Promise<Connection>;

interface Attempt {
  readonly what: string;
  readonly expected: Reason;
  /** True when the upstream's greeting came through. */
  readonly run: (dial: Dial) => Promise<boolean>;
}

/**
 * Proves on this very runtime, with real handshakes through the real router, that nobody gets in who
 * should not: without a certificate, with another authority's, with an expired one, or with a good one
 * whose key is somebody else's. Throws, in words for the operator, where that does not hold.
 */
export async function selfTest(runtime: Runtime, files: Files): Promise<void> {
  const records: ConnectionRecord[] = [];
  const ours = await selfTestAuthority("Self-test");
  const theirs = await selfTestAuthority("Self-test, another");
  const server = await ours.server(serverName);
  const upstream = await runtime.listen(
    { host: "127.0.0.1", port: 0 },
    { connection: (c) => void lingeringClose(c, new TextEncoder().encode("in\n")), acceptFailed() {} },
  );
  const environment = {
    SALLYPORT_LISTEN: "127.0.0.1:0",
    SALLYPORT_ADMIN_LISTEN: "off",
    SALLYPORT_HOST: "router.invalid",
    SALLYPORT_CERT: server.cert,
    SALLYPORT_KEY: server.key,
    SALLYPORT_CLIENT_CA: ours.certificate,
    SALLYPORT_ROUTE_SELF_TEST: `tcp://127.0.0.1:${upstream.address.port}?sni=${serverName}`,
  };
  const router = await startServer(
    runtime,
    loadConfig(environment, schemes, files),
    silentLog,
    (record) => {
      if (record.event === "connection") records.push(record);
    },
    files,
  );
  try {
    for (const attempt of await attempts(ours, theirs)) {
      const target = { host: "127.0.0.1", port: router.address.port, withinMs: attemptMs };
      const got = await attempt
        .run((tls) => runtime.dial(tls === undefined ? target : { ...target, tls }))
        .catch((error: Error) => {
          throw new Error(
            `self-test failed on ${runtime.name} ${runtime.version}: ${attempt.what}: ${error.message}; refusing to listen`,
          );
        });
      const reason = await lastReason(records);
      if (got !== (attempt.expected === "ok") || !fits(reason, attempt.expected)) {
        const outcome = `${got ? "let in" : "turned away"} (${reason ?? "no record"})`;
        throw new Error(
          `self-test failed on ${runtime.name} ${runtime.version}: ${attempt.what} was ${outcome}; refusing to listen`,
        );
      }
    }
  } finally {
    await router.close();
    await upstream.close();
  }
}

/** Who was let in also leaves in some way: how is not the question here. */
const fits = (reason: Reason | undefined, expected: Reason): boolean =>
  expected === "ok"
    ? reason === "ok" || reason === "client_closed" || reason === "upstream_refused"
    : reason === expected;

async function lastReason(records: ConnectionRecord[]): Promise<Reason | undefined> {
  for (let i = 0; i < 200 && records.length === 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  return records.splice(0).pop()?.reason;
}

async function attempts(ours: SelfTestAuthority, theirs: SelfTestAuthority): Promise<Attempt[]> {
  const good = await ours.client();
  const other = await theirs.client();
  const expired = await ours.client(Date.now() - 2 * dayMs);
  const plainly =
    (pair: CertificateAndKey | null): Attempt["run"] =>
    async (dial) => {
      const connection = await dial({
        serverName,
        verify: true,
        ca: [ours.certificate],
        cert: pair?.cert ?? null,
        key: pair?.key ?? null,
      });
      const timer = deadline(attemptMs, () => connection.abort());
      try {
        return (await connection.read()) !== null;
      } catch {
        return false;
      } finally {
        timer.cancel();
        connection.abort();
      }
    };
  const playing =
    (key: CryptoKey): Attempt["run"] =>
    async (dial) => {
      const connection = await dial();
      const timer = deadline(attemptMs, () => connection.abort());
      try {
        return (
          (await impersonate(connection, { serverName, chain: certificatesFromPem(good.cert), key })) ===
          "accepted"
        );
      } finally {
        timer.cancel();
        connection.abort();
      }
    };
  const { privateKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
    "verify",
  ]);
  return [
    { what: "a good certificate", expected: "ok", run: plainly(good) },
    { what: "no certificate", expected: "client_cert_missing", run: plainly(null) },
    { what: "another authority's certificate", expected: "client_cert_untrusted", run: plainly(other) },
    { what: "an expired certificate", expected: "client_cert_expired", run: plainly(expired) },
    {
      what: "a good certificate with its own key, played by hand",
      expected: "ok",
      run: playing((await importSigningKey(good.key)).key),
    },
    { what: "a good certificate with another key", expected: "handshake_failed", run: playing(privateKey) },
  ];
}
