import { resolve } from "node:path";
import { Authority, createAuthority, type Issued } from "../authority/authority.ts";
import { SubjectError } from "../authority/subject.ts";
import { files } from "../runtime/files.ts";
import { exists, writeAtomically } from "../runtime/key-files.ts";
import { token } from "./ca-token.ts";
import { type CliIo, type Command, UsageError } from "./command.ts";
import { lifetime, options, required } from "./options.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const usage = `Usage: sallyport ca init   --dir DIR [--name NAME] [--force]
       sallyport ca server --dir DIR --name DNS_NAME... --out PREFIX [--lifetime 90d]
       sallyport ca issue  --dir DIR --cn NAME --out PREFIX [--org NAME] [--group NAME]...
                           [--email ADDRESS]... [--dns NAME]... [--uri URI]... [--lifetime 8h]
       sallyport ca token  --dir DIR --cn NAME [--org NAME] [--group NAME]... [--email ADDRESS]...
                           [--dns NAME]... [--uri URI]... [--lifetime 8h] [--expires 1h]
                           [--renewable 24h] [--source CIDR]... [--route NAME]...

An authority of your own, in a folder: no server, no database.

  init    makes DIR/ca.crt and DIR/ca.key (ECDSA P-256, ten years)
  server  makes PREFIX.crt and PREFIX.key for a router; --name also takes *.example.com
  issue   makes PREFIX.crt and PREFIX.key for a person or a machine; a group is an
          organizational unit in the certificate, and a --uri may be a SPIFFE ID
  token   prints a token with which a machine gets one such certificate from the router
          ("sallyport login --token"), within --expires; the key is made there. --renewable
          says how long it can be renewed; --source and --route limit where it may be used
          from, and for which routes

Keys are written with mode 0600. With --json, says what was made as JSON.`;

interface Made {
  readonly certificate: string;
  readonly key: string;
}

function report(io: CliIo, json: boolean | undefined, made: Made): void {
  if (json === true) io.out(JSON.stringify(made));
  else {
    io.out(made.certificate);
    io.out(made.key);
  }
}

/** Where the certificate goes: not over the authority itself. */
function target(out: string | undefined, dir: string | undefined): string {
  const prefix = required(out, "--out", "a path without its ending");
  if (resolve(prefix) === resolve(dir ?? "", "ca"))
    throw new UsageError(`--out ${prefix} would replace the authority itself: expected another path`);
  return prefix;
}

const flagOf: Readonly<Record<SubjectError["member"], string>> = {
  commonName: "--cn",
  organization: "--org",
  groups: "--group",
  emails: "--email",
  dnsNames: "--dns",
  uris: "--uri",
  names: "--name",
};

/** What the authority says of a name, as said of the flag that it came with. */
async function named<T>(made: Promise<T>, flag?: string): Promise<T> {
  try {
    return await made;
  } catch (error) {
    throw error instanceof SubjectError
      ? new UsageError(`${flag ?? flagOf[error.member]}: ${error.message}`)
      : error;
  }
}

function write(prefix: string, issued: Issued): Made {
  const made = { certificate: `${prefix}.crt`, key: `${prefix}.key` };
  // The key first: a certificate without one would look finished.
  writeAtomically(made.key, issued.key, true);
  writeAtomically(made.certificate, issued.cert, false);
  return made;
}

async function init(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    name: { type: "string" },
    force: { type: "boolean" },
    json: { type: "boolean" },
  });
  const folder = required(flags.dir, "--dir", "a folder for the authority");
  const prefix = `${folder}/ca`;
  if (flags.force !== true && (exists(`${prefix}.key`) || exists(`${prefix}.crt`))) {
    throw new UsageError(
      `--dir ${folder} holds an authority already; --force replaces it, and every certificate it issued is void`,
    );
  }
  report(io, flags.json, write(prefix, await named(createAuthority(flags.name ?? "Sallyport"), "--name")));
  return 0;
}

async function open(dir: string | undefined): Promise<Authority> {
  const folder = required(dir, "--dir", "the folder that `sallyport ca init` made");
  let pair: Issued;
  try {
    pair = { cert: files.read(`${folder}/ca.crt`), key: files.read(`${folder}/ca.key`) };
  } catch (error) {
    throw new UsageError(
      `--dir ${folder} holds no authority (${error instanceof Error ? error.message : error}): make one with "sallyport ca init --dir ${folder}"`,
    );
  }
  try {
    return await Authority.open(pair);
  } catch (error) {
    throw new UsageError(`--dir ${folder}: ${error instanceof Error ? error.message : error}`);
  }
}

const many = { type: "string", multiple: true } as const;

async function server(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    name: many,
    out: { type: "string" },
    lifetime: { type: "string" },
    json: { type: "boolean" },
  });
  const names = flags.name ?? [];
  required(names[0], "--name", "a DNS name or an address");
  const out = target(flags.out, flags.dir);
  const ms = lifetime(flags.lifetime, "--lifetime", 90 * dayMs, 825 * dayMs);
  report(io, flags.json, write(out, await named((await open(flags.dir)).server(names, ms))));
  return 0;
}

async function issue(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    cn: { type: "string" },
    org: { type: "string" },
    group: many,
    email: many,
    dns: many,
    uri: many,
    out: { type: "string" },
    lifetime: { type: "string" },
    json: { type: "boolean" },
  });
  const commonName = required(flags.cn, "--cn", "the holder's name");
  const out = target(flags.out, flags.dir);
  const ms = lifetime(flags.lifetime, "--lifetime", 8 * hourMs, 365 * dayMs);
  const person = {
    commonName,
    ...(flags.org === undefined ? {} : { organization: flags.org }),
    groups: flags.group ?? [],
    emails: flags.email ?? [],
    dnsNames: flags.dns ?? [],
    uris: flags.uri ?? [],
  };
  report(io, flags.json, write(out, await named((await open(flags.dir)).client(person, ms))));
  return 0;
}

const actions: Readonly<Record<string, (args: readonly string[], io: CliIo) => Promise<number>>> = {
  init,
  server,
  issue,
  token,
};

export const ca: Command = {
  name: "ca",
  summary: "an authority of your own: make it, and certificates from it",
  usage,
  run(args, io) {
    const [name = "", ...rest] = args;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) {
      throw new UsageError(
        `${name === "" ? "what to do is missing" : `there is no "ca ${name}"`}: expected init, server, issue or token`,
      );
    }
    return action(rest, io);
  },
};
