import { createPrivateKey, X509Certificate } from "node:crypto";
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from "node:fs";
import type { Files } from "../config/pem.ts";
import type { LineSink } from "../types.ts";

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The names in `DNS:a.example.com, IP Address:10.0.0.1`; the common name counts for nothing (RFC 9525 §2). */
function dnsNames(certificate: X509Certificate): string[] {
  return [...(certificate.subjectAltName ?? "").matchAll(/DNS:("?)([^,"]+)\1/g)].map(
    ([, , name = ""]) => name,
  );
}

function stampOf(path: string): string | null {
  try {
    const stat = statSync(path);
    const own = `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
    if (!stat.isDirectory()) return own;
    return [own, ...readdirSync(path).map((name) => `${name} ${stampOf(`${path}/${name}`)}`)].join("\n");
  } catch {
    return null;
  }
}

/** The file system, and what the runtime's own X.509 says of server certificates. */
export const files: Files = {
  read: (path) => readFileSync(path, "utf8"),
  readBytes: (path) => readFileSync(path),
  list: (folder) => readdirSync(folder),
  isFolder: (path) => {
    try {
      return statSync(path).isDirectory();
    } catch {
      return false;
    }
  },
  stamp: stampOf,
  inspectCertificate: (pem) => {
    try {
      return new X509Certificate(pem).raw.length > 0 ? null : "it is empty";
    } catch (error) {
      return messageOf(error);
    }
  },
  inspectPair: (cert, key) => {
    const unknown = { names: [], notAfter: new Date(0) };
    let certificate: X509Certificate;
    try {
      certificate = new X509Certificate(cert);
    } catch (error) {
      return { ...unknown, problem: `the certificate can't be read: ${messageOf(error)}` };
    }
    const found = { names: dnsNames(certificate), notAfter: new Date(certificate.validTo) };
    try {
      const fits = certificate.checkPrivateKey(createPrivateKey(key));
      return { ...found, problem: fits ? null : "the private key is not this certificate's" };
    } catch {
      // Whatever the library says of a key it could not read stays unsaid.
      return { ...found, problem: "the private key can't be read: expected an unencrypted PEM key" };
    }
  },
};

/** The end of a file, from the beginning of a line; empty where there is none, or one that can't be read again. */
export function endOf(path: string, bytes: number): string {
  let handle: number;
  try {
    // A pipe would be waited for.
    if (!statSync(path).isFile()) return "";
    handle = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(handle);
    const end = Buffer.alloc(Math.min(size, bytes));
    const text = end.toString("utf8", 0, readSync(handle, end, 0, end.length, size - end.length));
    return size > bytes ? text.slice(text.indexOf("\n") + 1) : text;
  } finally {
    closeSync(handle);
  }
}

const flushMs = 20;

/** Lines to a file or, as 1 and 2, to the standard streams; written together every few milliseconds. */
export function lineSink(target: string | 1 | 2): LineSink {
  const handle = typeof target === "number" ? target : openSync(target, "a", 0o640);
  let pending: string[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = (): void => {
    timer = undefined;
    let bytes = Buffer.from(pending.join(""));
    pending = [];
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(writeSync(handle, bytes));
      } catch (error) {
        const { code } = error as { code?: string };
        // A reader that is slow for a moment; one that is gone has no use for the rest.
        if (code === "EAGAIN") continue;
        return;
      }
    }
  };
  return {
    write: (line) => {
      pending.push(`${line}\n`);
      timer ??= setTimeout(flush, flushMs);
    },
    close: async () => {
      clearTimeout(timer);
      flush();
      if (typeof target === "string") closeSync(handle);
    },
  };
}

/** Whether standard output (1) or standard error (2) is a terminal. */
export const isTerminal = (stream: 1 | 2): boolean => {
  try {
    const { isTTY } = stream === 1 ? process.stdout : process.stderr;
    return fstatSync(stream).isCharacterDevice() && isTTY === true;
  } catch {
    return false;
  }
};
