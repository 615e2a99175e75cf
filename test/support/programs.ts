import { existsSync, readdirSync } from "node:fs";

const folders = [
  ...(process.env.PATH ?? "").split(":"),
  "/usr/sbin",
  "/usr/local/sbin",
  ...(existsSync("/usr/lib/postgresql")
    ? readdirSync("/usr/lib/postgresql").map((version) => `/usr/lib/postgresql/${version}/bin`)
    : []),
];

/** Where a real program is, if it is anywhere. */
export const findProgram = (name: string): string | undefined =>
  folders.map((folder) => `${folder}/${name}`).find((path) => existsSync(path));

/** A reason to skip, or `false` when all of them are there. */
export function missing(...names: readonly string[]): string | false {
  const absent = names.filter((name) => findProgram(name) === undefined);
  return absent.length > 0 ? `not installed: ${absent.join(", ")}` : false;
}

export function program(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}
