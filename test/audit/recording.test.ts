import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { schemes } from "../../src/adapters/registry.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { ConnectionRecord } from "../../src/core/record.ts";
import { silentLog } from "../../src/observe/log.ts";
import { files } from "../../src/runtime/files.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { startServer } from "../../src/server.ts";

/** The record of a connection that says something that is no TLS. */
async function reasonWhere(full: boolean, whenFull: string): Promise<string> {
  const env = {
    SALLYPORT_LISTEN: "127.0.0.1:0",
    SALLYPORT_ADMIN_LISTEN: "off",
    SALLYPORT_AUDIT_FULL: whenFull,
  };
  const config = loadConfig(env, schemes, files);
  let told = (_: ConnectionRecord): void => {};
  const record = new Promise<ConnectionRecord>((resolve) => {
    told = resolve;
  });
  const recording = { full, waiting: 0, lost: 0 };
  const audit = (one: { readonly event: string }): void => {
    if (one.event === "connection") told(one as ConnectionRecord);
  };
  const runtime = await selectRuntime();
  const server = await startServer(runtime, config, silentLog, audit, files, null, {
    recording,
    traces: null,
    notes: null,
  });
  try {
    const socket = connect(server.address.port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\n\r\n"));
    socket.on("error", () => {});
    const { reason } = await record;
    socket.destroy();
    return reason;
  } finally {
    await server.close();
  }
}

describe("a router whose audit records can't be written any more", () => {
  it("refuses connections where SALLYPORT_AUDIT_FULL=refuse, for so long", async () => {
    assert.equal(await reasonWhere(true, "refuse"), "limit_reached");
    assert.equal(await reasonWhere(false, "refuse"), "not_tls");
  });

  it("serves on otherwise", async () => {
    assert.equal(await reasonWhere(true, "continue"), "not_tls");
  });
});
