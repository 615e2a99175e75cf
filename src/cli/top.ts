import { address } from "../config/values.ts";
import { isTerminal } from "../runtime/files.ts";
import { type CliIo, type Command, UsageError } from "./command.ts";
import { lifetime, options } from "./options.ts";
import { type Answer, answer, Rates, type Row, type Sort, sorted, sorts } from "./top/rates.ts";
import { Screen } from "./top/screen.ts";
import { summary, table } from "./top/table.ts";

const defaultAdmin = "127.0.0.1:8080";
const withinMs = 10_000;
const maxIntervalMs = 3_600_000;
const plainWidth = 120;

/** Where to ask: what listens on all addresses is asked on this machine's own. */
function adminUrl(text: string): string {
  const parsed = address.safeParse(text);
  if (!parsed.success || parsed.data.port === 0)
    throw new UsageError(`--admin ${text}: expected the host:port of the router's admin listener`);
  const { host, port } = parsed.data;
  const own = { "0.0.0.0": "127.0.0.1", "::": "[::1]" }[host];
  return `http://${own ?? (host.includes(":") ? `[${host}]` : host)}:${port}/connections`;
}

async function ask(url: string): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(withinMs) });
  } catch {
    throw new Error(`nobody answers at ${url}: is it the router's SALLYPORT_ADMIN_LISTEN?`);
  }
  if (!response.ok)
    throw new Error(`${url} answers with ${response.status}: ${(await response.text()).trim()}`);
  return answer.parse(await response.json());
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Sample {
  readonly open: number;
  readonly rows: readonly Row[];
}

function sampler(url: string): () => Promise<Sample> {
  const rates = new Rates();
  return async () => {
    const found = await ask(url);
    return { open: found.open, rows: rates.rows(found, performance.now(), Date.now()) };
  };
}

async function inTerminal(
  sample: () => Promise<Sample>,
  by: Sort,
  intervalMs: number,
  colour: boolean,
): Promise<number> {
  let sort = by;
  let last: Sample | null = null;
  let problem: string | null = null;
  let over = false;
  let wake = (): void => {};
  const draw = (): void => {
    const { open = 0, rows = [] } = last ?? {};
    const head = problem ?? summary(open, rows, sort);
    const lines = [head, "q quits, s sorts by another column", ...table(sorted(rows, sort), screen.width)];
    screen.draw(
      lines.map((line) => line.slice(0, screen.width)),
      colour ? 2 : null,
    );
  };
  const screen = new Screen((key) => {
    if (key === "s") {
      sort = sorts[(sorts.indexOf(sort) + 1) % sorts.length] ?? sort;
      draw();
    }
    if (key === "q" || key === "\u0003" || key === "\u0004") {
      over = true;
      wake();
    }
  });
  try {
    while (!over) {
      try {
        last = await sample();
        problem = null;
      } catch (error) {
        // It may be restarted.
        problem = error instanceof Error ? error.message : String(error);
      }
      draw();
      await Promise.race([
        pause(intervalMs),
        new Promise<void>((resolve) => {
          wake = resolve;
        }),
      ]);
    }
  } finally {
    screen.close();
  }
  return 0;
}

async function inLines(
  sample: () => Promise<Sample>,
  sort: Sort,
  intervalMs: number,
  once: boolean,
  json: boolean,
  io: CliIo,
): Promise<number> {
  await sample();
  do {
    await pause(intervalMs);
    const { open, rows } = await sample();
    if (json) io.out(JSON.stringify({ open, connections: sorted(rows, sort) }));
    else
      for (const line of [summary(open, rows, sort), ...table(sorted(rows, sort), plainWidth)]) io.out(line);
  } while (!once);
  return 0;
}

export const top: Command = {
  usage: `Usage: sallyport top [--admin HOST:PORT] [--sort COLUMN] [--interval 2s] [--once] [--json]

Shows the connections that are open at a router on this machine, of all its workers: route,
identity, source, age, bytes from and to the client, and bytes a second. q quits, s sorts by
another column.

  --admin HOST:PORT  the router's admin listener; SALLYPORT_ADMIN_LISTEN unless given, or
                     ${defaultAdmin}
  --sort COLUMN      ${sorts.join(", ")}; rate unless given
  --interval 2s      between two looks
  --once             one table, and no more; so it is where standard output is no terminal
  --json             a JSON object for each look, a line each`,

  async run(args, io) {
    const flags = options(args, {
      admin: { type: "string" },
      sort: { type: "string" },
      interval: { type: "string" },
      once: { type: "boolean" },
      json: { type: "boolean" },
    });
    const sort = sorts.find((one) => one === (flags.sort ?? "rate"));
    if (sort === undefined) throw new UsageError(`--sort ${flags.sort}: expected ${sorts.join(", ")}`);
    const { once = false, json = false } = flags;
    const terminal = isTerminal(1) && !once && !json;
    const intervalMs = lifetime(flags.interval, "--interval", terminal ? 2000 : 1000, maxIntervalMs);
    const sample = sampler(adminUrl(flags.admin ?? io.env.SALLYPORT_ADMIN_LISTEN ?? defaultAdmin));
    if (terminal) return inTerminal(sample, sort, intervalMs, (io.env.NO_COLOR ?? "") === "");
    return inLines(sample, sort, intervalMs, once || !json, json, io);
  },
};
