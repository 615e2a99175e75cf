import { bsonTypes, type Element, readDocument, textOf } from "../../wire/bson.ts";
import type { MongodbAccess } from "./access.ts";
import type { Asked } from "./requests.ts";

/** What belongs to a connection or a session rather than to a database. */
const everywhere: ReadonlySet<string> = new Set([
  ...["hello", "isMaster", "ismaster", "ping", "buildInfo", "buildinfo", "whatsmyuri", "connectionStatus"],
  ...["startSession", "refreshSessions", "endSessions", "commitTransaction", "abortTransaction"],
  ...["authenticate", "saslStart", "saslContinue", "logout"],
]);
/** Commands that name other databases as they please. */
const anywhere: ReadonlySet<string> = new Set(["applyOps", "bulkWrite", "renameCollection", "eval", "$eval"]);
/** Commands that may hold pipelines or outputs. */
const composed: ReadonlySet<string> = new Set([
  ...["aggregate", "explain", "mapReduce", "mapreduce", "create", "collMod"],
]);
/** Where a pipeline or an output names a database beside a collection. */
const places: ReadonlySet<string> = new Set(["$out", "into", "from", "out", "$unionWith"]);
/** Deeper than servers take. */
const maxDepth = 200;

/** The first database named in these elements that is not admitted; `null`: there is none. */
function named(
  elements: readonly Element[],
  access: MongodbAccess,
  depth: number,
  place: boolean,
): string | null {
  for (const element of elements) {
    if (place && element.name === "db") {
      const name = textOf(element);
      if (name === null || !access.admitsDatabase(name)) return name ?? "";
    }
    if (element.type !== bsonTypes.document && element.type !== bsonTypes.array) continue;
    const inside = depth < maxDepth ? readDocument(element.value) : null;
    if (inside === null) return "";
    const found = named(inside, access, depth + 1, places.has(element.name));
    if (found !== null) return found;
  }
  return null;
}

/** Why a command may not go to where it wants to; `null`: it may. */
export function foreignDatabase({ name: command, body, whole }: Asked, access: MongodbAccess): string | null {
  if (!access.limitsDatabases || everywhere.has(command)) return null;
  const names = body.filter(({ name }) => name === "$db");
  const name = names.length === 1 ? textOf(names[0]) : null;
  if (name === null || !access.admitsDatabase(name)) return access.databaseRefused(name);
  if (anywhere.has(command)) return `${command} reaches every database, and not all are open to you here`;
  if (composed.has(command) && !whole) return `${command} is taken in one section alone here`;
  const found = composed.has(command) ? named(body, access, 0, false) : null;
  return found === null ? null : access.databaseRefused(found === "" ? null : found);
}
