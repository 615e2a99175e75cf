import { mkdirSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type IssuedRecord, type IssuedStore, issuedRecord } from "../enrolment/issued-record.ts";
import { writeAtomically } from "./key-files.ts";

const sweepMs = 600_000;
/** After a certificate has expired its record stays for a while: clocks differ. */
const keptMs = 24 * 3_600_000;

async function recordAt(path: string): Promise<IssuedRecord | null> {
  try {
    return issuedRecord.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return null;
    throw new Error(`the record ${path} can't be read`);
  }
}

/** Records of certificates as files in an authority's folder, which several routers may share. */
export function issuedRecordFiles(authority: string): IssuedStore {
  const folder = join(authority, "issued");
  let swept = 0;

  /** Removes the records of what has expired. */
  const sweep = async (now: number): Promise<void> => {
    for (const name of await readdir(folder)) {
      if (!/^[0-9a-f]+\.json$/.test(name)) continue;
      const record = await recordAt(join(folder, name));
      if (record !== null && record.expires + keptMs <= now) await rm(join(folder, name), { force: true });
    }
  };
  return {
    find: async (serial) => await recordAt(join(folder, `${fileName(serial)}.json`)),
    save: async (serial, record, now) => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeAtomically(join(folder, `${fileName(serial)}.json`), `${JSON.stringify(record)}\n`, true);
      if (now - swept < sweepMs) return;
      swept = now;
      // What is left for the next time does no harm.
      await sweep(now).catch(() => {});
    },
  };
}

/** The certificates that one was renewed into, at first and at second hand. */
export async function renewedFrom(
  authority: string,
  serial: string,
): Promise<readonly { readonly serial: string; readonly expires: number }[]> {
  const folder = join(authority, "issued");
  const names = await readdir(folder).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const record = /^[0-9a-f]+\.json$/.test(name) ? await recordAt(join(folder, name)) : null;
      return record?.renewed?.includes(serial) === true
        ? [{ serial: name.replace(/\.json$/, ""), expires: record.expires }]
        : [];
    }),
  );
  return found.flat();
}

/** Serial numbers come out of certificates; nothing but digits becomes a path. */
function fileName(serial: string): string {
  if (!/^[0-9a-f]{1,64}$/.test(serial)) throw new Error("a serial number that is none of this authority's");
  return serial;
}
