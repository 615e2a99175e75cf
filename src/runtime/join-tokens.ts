import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { type JoinTokenRecord, type JoinTokenStore, joinTokenRecord } from "../enrolment/join-token.ts";
import { writeAtomically } from "./key-files.ts";

/** `HASH.json` until it is used, `HASH.used` from then on. */
const paths = (folder: string, hash: string) => ({
  fresh: join(folder, `${hash}.json`),
  used: join(folder, `${hash}.used`),
});

const missing = (error: unknown): boolean => (error as { readonly code?: unknown }).code === "ENOENT";

async function recordAt(path: string): Promise<JoinTokenRecord | null> {
  try {
    return joinTokenRecord.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (missing(error)) return null;
    throw new Error(`the join token ${path} can't be read`);
  }
}

/** Join tokens as files in an authority's folder, which several routers may share. */
export function joinTokenFiles(authority: string): JoinTokenStore {
  const folder = join(authority, "tokens");
  return {
    find: async (hash) => {
      const { fresh, used } = paths(folder, hash);
      const record = await recordAt(fresh);
      if (record !== null) return { record, spent: false };
      const spent = await recordAt(used);
      return spent === null ? null : { record: spent, spent: true };
    },
    spend: async (hash) => {
      const { fresh, used } = paths(folder, hash);
      try {
        // Of two who rename one file, one finds it gone.
        await rename(fresh, used);
        return true;
      } catch (error) {
        if (missing(error)) return false;
        throw error;
      }
    },
  };
}

/** Keeps what a token stands for; forgets those whose time has passed, used or not. */
export function addJoinToken(authority: string, hash: string, record: JoinTokenRecord, now: number): void {
  const folder = join(authority, "tokens");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const old = /\.(json|used)$/.test(name) && expiryOf(path) <= now;
    if (old) rmSync(path, { force: true });
  }
  writeAtomically(paths(folder, hash).fresh, `${JSON.stringify(record)}\n`, true);
}

/** Never, where it can't be read: somebody should look at it. */
function expiryOf(path: string): number {
  try {
    return joinTokenRecord.parse(JSON.parse(readFileSync(path, "utf8"))).expires;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
