import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** `false`, or why tests that compare with OpenSSL are skipped. */
export const skipWithoutOpenssl: false | string =
  spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not installed";

export interface OpensslQuestion {
  readonly purpose: "sslclient" | "sslserver";
  /** PEM. */
  readonly anchor: string;
  readonly leaf: string;
  readonly intermediates?: string;
}

/** What `openssl verify` thinks of a certificate by its strictest rules. */
export function opensslAccepts({ purpose, anchor, leaf, intermediates }: OpensslQuestion): boolean {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-openssl-"));
  const file = (name: string, pem: string): string => {
    writeFileSync(join(folder, name), pem);
    return join(folder, name);
  };
  try {
    const untrusted = intermediates === undefined ? [] : ["-untrusted", file("others", intermediates)];
    const options = ["-purpose", purpose, "-x509_strict", "-CAfile", file("anchor", anchor), ...untrusted];
    return spawnSync("openssl", ["verify", ...options, file("leaf", leaf)]).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
