import { parseArgs } from "node:util";
import { type Scale, scales } from "./scaling.ts";
import { isFloor, subjectNames } from "./subjects.ts";
import { allWorks, byDefault } from "./works.ts";

export const usage =
  "Usage: npm run bench -- [--only WORK,…] [--subject NAME,…] [--rounds N] [--size MIB] [--cold] [--json FILE]";
const verification = "verify";
const clientSide = "client";
const agents = "agent";
const postgres = "pgbench";
const http = "http";
const flood = "flood";
const workers = "workers";
const steps = "steps";
/** Work that is not done by one server alone. */
const others: readonly string[] = [
  clientSide,
  agents,
  postgres,
  http,
  verification,
  steps,
  workers,
  flood,
  ...Object.keys(scales),
];

/** Everything that can be asked for. */
export const names = (): string =>
  `Work: ${allWorks(1)
    .map(({ name }) => name)
    .join(" ")} ${others.join(" ")}\nNames: ${subjectNames.join(" ")}`;

/** The names asked for, all of them known; a mistake ends the run before it starts. */
function chosen<T>(asked: string | undefined, known: readonly T[], name: (one: T) => string, all: T[]): T[] {
  if (asked === undefined) return all;
  return asked.split(",").map((each) => {
    const found = known.find((one) => name(one) === each);
    if (found === undefined) throw new RangeError(`there is no ${each}: ${known.map(name).join(", ")}`);
    return found;
  });
}

function positive(flag: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new RangeError(`${flag}: a whole number from 1 on`);
  return number;
}

/** What a command line asks for. Throws a `RangeError` or `parseArgs`'s `TypeError` where it asks for what there is not. */
export function readArguments(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      subject: { type: "string" },
      rounds: { type: "string", default: "3" },
      size: { type: "string", default: "1024" },
      json: { type: "string" },
      cold: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const size = positive("--size", values.size) * 1024 * 1024;
  const works = allWorks(size, values.cold);
  const asked = values.only?.split(",");
  const onServers = asked?.filter((name) => !others.includes(name));
  return {
    size,
    help: values.help,
    verification: asked?.includes(verification) ?? true,
    steps: asked?.includes(steps) ?? true,
    clientSide: asked?.includes(clientSide) ?? true,
    agents: asked?.includes(agents) ?? true,
    postgres: asked?.includes(postgres) ?? true,
    http: asked?.includes(http) ?? true,
    // Minutes each, and alone on the machine: when it is asked for.
    flood: asked?.includes(flood) ?? false,
    workers: asked?.includes(workers) ?? true,
    scales: (Object.keys(scales) as Scale[]).filter((scale) => asked?.includes(scale) ?? true),
    works:
      onServers?.length === 0
        ? []
        : chosen(onServers?.join(","), works, ({ name }) => name, works.filter(byDefault)),
    subjects: chosen(
      values.subject,
      subjectNames,
      (name) => name,
      subjectNames.filter((name) => !isFloor(name)),
    ),
    rounds: positive("--rounds", values.rounds),
    json: values.json,
  };
}
