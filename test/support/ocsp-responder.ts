import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Holder, pem } from "./crafted-certificates.ts";
import { freePort } from "./ports.ts";

/** What an authority says of the certificates it issued, by serial number in hexadecimal. */
export type Index = Readonly<Record<string, "good" | "revoked">>;

/** OpenSSL's own responder, for an authority and whoever signs for it. */
export class OpensslResponder {
  readonly #folder = mkdtempSync(join(tmpdir(), "sallyport-ocsp-"));
  readonly #args: readonly string[];

  /** @param minutes until its answers end; `null`: they don't say when */
  constructor(issuer: Holder, signer: Holder, index: Index, minutes: number | null = 5) {
    const file = (name: string, contents: string): string => {
      const path = join(this.#folder, name);
      writeFileSync(path, contents, { mode: 0o600 });
      return path;
    };
    const lines = Object.entries(index).map(([serial, status]) => {
      const [flag, revoked] = status === "good" ? ["V", ""] : ["R", "260101000000Z"];
      const digits = serial.toUpperCase().padStart(serial.length + (serial.length % 2), "0");
      return `${flag}\t400101000000Z\t${revoked}\t${digits}\tunknown\t/CN=x\n`;
    });
    file("index.txt.attr", "unique_subject = no\n");
    const key = signer.keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    this.#args = [
      "ocsp",
      "-index",
      file("index.txt", lines.join("")),
      "-CA",
      file("ca.crt", pem(issuer.der)),
      "-rsigner",
      file("signer.crt", pem(signer.der)),
      "-rkey",
      file("signer.key", key),
      ...(minutes === null ? [] : ["-nmin", String(minutes)]),
    ];
  }

  /** Its answer to one request, both DER. */
  answer(request: Uint8Array): Uint8Array {
    const [asked, answered] = [join(this.#folder, "request"), join(this.#folder, "response")];
    writeFileSync(asked, request);
    const { status, stderr } = spawnSync("openssl", [...this.#args, "-reqin", asked, "-respout", answered]);
    if (status !== 0) throw new Error(`openssl ocsp: ${stderr}`);
    return Uint8Array.from(readFileSync(answered));
  }

  /** Answers over HTTP until it is stopped. */
  async listen(): Promise<{ readonly url: string; stop(): Promise<void> }> {
    const port = await freePort();
    const child = spawn("openssl", [...this.#args, "-port", String(port), "-ignore_err"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    await new Promise<void>((resolve, reject) => {
      let said = "";
      const late = setTimeout(() => reject(new Error(`openssl ocsp did not start: ${said}`)), 60_000);
      child.stderr.on("data", (chunk) => {
        said += chunk;
        if (!/waiting for/i.test(said)) return;
        clearTimeout(late);
        resolve();
      });
    });
    return {
      url: `http://127.0.0.1:${port}/`,
      stop: () =>
        new Promise((resolve) => {
          child.once("exit", () => resolve());
          child.kill("SIGKILL");
        }),
    };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
