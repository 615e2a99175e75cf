import { named, open, report, target, write } from "./ca-folder.ts";
import { algorithmOf } from "./ca-init.ts";
import { limitsOf } from "./ca-limits.ts";
import { type CliIo, UsageError } from "./command.ts";
import { lifetime, options, required } from "./options.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const many = { type: "string", multiple: true } as const;

/** `ca server`: a certificate for a router. */
export async function server(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    name: many,
    out: { type: "string" },
    lifetime: { type: "string" },
    algorithm: { type: "string" },
    json: { type: "boolean" },
  });
  const names = flags.name ?? [];
  required(names[0], "--name", "a DNS name or an address");
  const out = target(flags.out, flags.dir);
  const ms = lifetime(flags.lifetime, "--lifetime", 90 * dayMs, 825 * dayMs);
  const algorithm = algorithmOf(flags.algorithm);
  const made = await named((await open(flags.dir)).issuing.server(names, ms, Date.now(), algorithm));
  report(io, flags.json, { ...write(out, made) });
  return 0;
}

/** `ca router`: a certificate by which a router is known to others. */
export async function router(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    name: { type: "string" },
    cn: { type: "string" },
    org: { type: "string" },
    group: many,
    uri: many,
    out: { type: "string" },
    lifetime: { type: "string" },
    algorithm: { type: "string" },
    json: { type: "boolean" },
  });
  const host = required(flags.name, "--name", "the routers' SALLYPORT_HOST");
  const commonName = required(flags.cn, "--cn", "the router's own name");
  const out = target(flags.out, flags.dir);
  const ms = lifetime(flags.lifetime, "--lifetime", 90 * dayMs, 825 * dayMs);
  const algorithm = algorithmOf(flags.algorithm);
  const person = {
    commonName,
    ...(flags.org === undefined ? {} : { organization: flags.org }),
    groups: flags.group ?? [],
    uris: flags.uri ?? [],
  };
  const { issuing } = await open(flags.dir);
  const made = await named(issuing.router(person, host, ms, Date.now(), algorithm));
  report(io, flags.json, { ...write(out, made) });
  return 0;
}

/** Short enough to be forgotten, long enough for clocks that differ. */
export function clientLifetime(text: string | undefined, force: boolean): number {
  const ms = lifetime(text, "--lifetime", 8 * hourMs, 365 * dayMs);
  if (!force && (ms < 5 * minuteMs || ms > dayMs))
    throw new UsageError(
      `--lifetime ${text} is out of bounds: expected 5m to 24h, or --force, since only a revocation ends a longer one`,
    );
  return ms;
}

/** `ca issue`: a certificate for a person or a machine. */
export async function issue(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    cn: { type: "string" },
    org: { type: "string" },
    group: many,
    email: many,
    dns: many,
    uri: many,
    source: many,
    route: many,
    out: { type: "string" },
    lifetime: { type: "string" },
    algorithm: { type: "string" },
    force: { type: "boolean" },
    json: { type: "boolean" },
  });
  const commonName = required(flags.cn, "--cn", "the holder's name");
  const out = target(flags.out, flags.dir);
  const ms = clientLifetime(flags.lifetime, flags.force === true);
  const person = {
    commonName,
    ...(flags.org === undefined ? {} : { organization: flags.org }),
    groups: flags.group ?? [],
    emails: flags.email ?? [],
    dnsNames: flags.dns ?? [],
    uris: flags.uri ?? [],
  };
  const how = {
    algorithm: algorithmOf(flags.algorithm),
    limits: limitsOf(flags.source ?? [], flags.route ?? []),
  };
  const made = await named((await open(flags.dir)).issuing.client(person, ms, Date.now(), how));
  report(io, flags.json, { ...write(out, made) });
  return 0;
}
