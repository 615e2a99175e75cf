import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type AcmeStore, failureSchema } from "../acme/store.ts";
import { orderedPath } from "../config/acme.ts";
import { writeAtomically, writeOnce } from "./key-files.ts";
import { Turns } from "./turns.ts";

function textAt(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return null;
    throw error;
  }
}

/** What is kept of one ACME directory, as files (mode 0600) in a folder (mode 0700) that several routers may share. */
export function acmeFiles(folder: string): AcmeStore {
  const turns = new Turns(join(folder, "turn"));
  const failurePath = (name: string): string => join(folder, "failures", `${name}.json`);
  const challengePath = (kind: string, key: string): string => join(folder, "challenges", kind, key);
  const write = (path: string, contents: string): void => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeAtomically(path, contents, true);
  };
  return {
    accountKey: async (make) => {
      const path = join(folder, "account.key");
      const kept = textAt(path);
      if (kept !== null) return kept;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      // Where another was quicker, its key stays.
      writeOnce(path, await make());
      return readFileSync(path, "utf8");
    },
    certificate: (name) => textAt(orderedPath(folder, name)),
    keepCertificate: (name, text) => write(orderedPath(folder, name), text),
    challenge: async (kind, key) => textAt(challengePath(kind, key)),
    publish: async (kind, key, keyAuthorization) => write(challengePath(kind, key), keyAuthorization),
    withdraw: (kind, key) => rmSync(challengePath(kind, key), { force: true }),
    failure: (name) => {
      const text = textAt(failurePath(name));
      if (text === null) return null;
      try {
        return failureSchema.parse(JSON.parse(text));
      } catch {
        // It only says to wait.
        return null;
      }
    },
    keepFailure: (name, found) => {
      if (found === null) rmSync(failurePath(name), { force: true });
      else write(failurePath(name), `${JSON.stringify(found)}\n`);
    },
    takeTurn: async () => turns.take(),
    // They have told by files.
    takeUp: () => {},
  };
}
