import type { Person } from "../authority/subject.ts";
import { checkPerson, SubjectError } from "../authority/subject.ts";
import { certificateLifetime, delay } from "../config/values.ts";
import { hashOf, joinTokenRecord, newJoinToken } from "../enrolment/join-token.ts";
import { addJoinToken } from "../runtime/join-tokens.ts";
import { folderOf } from "./ca-folder.ts";
import { limitsOf } from "./ca-limits.ts";
import { type CliIo, UsageError } from "./command.ts";
import { lifetime, options, required } from "./options.ts";

const hourMs = 3_600_000;
const many = { type: "string", multiple: true } as const;

const flagOf: Readonly<Partial<Record<SubjectError["member"], string>>> = {
  commonName: "--cn",
  organization: "--org",
  groups: "--group",
  emails: "--email",
  dnsNames: "--dns",
  uris: "--uri",
};

/** Says of a flag what is wrong with its value. */
function check(person: Person): void {
  try {
    checkPerson(person);
  } catch (error) {
    throw error instanceof SubjectError
      ? new UsageError(`${flagOf[error.member] ?? error.member}: ${error.message}`)
      : error;
  }
}

/** `ca token`: a one-time token with which a machine gets its first certificate. */
export async function token(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    cn: { type: "string" },
    org: { type: "string" },
    group: many,
    email: many,
    dns: many,
    uri: many,
    lifetime: { type: "string" },
    renewable: { type: "string" },
    expires: { type: "string" },
    source: many,
    route: many,
    json: { type: "boolean" },
  });
  const folder = folderOf(flags.dir);
  const commonName = required(flags.cn, "--cn", "the holder's name");
  const { org, group: groups = [], email: emails = [], dns: dnsNames = [], uri: uris = [] } = flags;
  const organization = org === undefined ? {} : { organization: org };
  const person = { commonName, ...organization, groups, emails, dnsNames, uris };
  check(person);
  const read = certificateLifetime.safeParse(flags.lifetime ?? "8h");
  if (!read.success) throw new UsageError(`--lifetime ${read.error.issues[0]?.message}`);
  const renewal = flags.renewable === undefined ? null : delay.safeParse(flags.renewable);
  if (renewal?.success === false) throw new UsageError(`--renewable ${renewal.error.issues[0]?.message}`);
  const limits = limitsOf(flags.source ?? [], flags.route ?? []);
  const now = Date.now();
  const expires = now + lifetime(flags.expires, "--expires", hourMs, 31 * 24 * hourMs);

  const made = newJoinToken();
  const record = {
    person,
    lifetimeMs: read.data,
    ...(renewal === null ? {} : { renewalSpanMs: renewal.data }),
    expires,
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
  const fits = joinTokenRecord.safeParse(record);
  if (!fits.success)
    throw new UsageError(`more than a token can stand for: ${fits.error.issues[0]?.path.join(".")}`);
  addJoinToken(folder, await hashOf(made), record, now);
  const until = new Date(expires).toISOString();
  if (flags.json === true) io.out(JSON.stringify({ token: made, expires: until }));
  else {
    io.out(made);
    io.err(`good for one certificate until ${until}; it is not shown again`);
  }
  return 0;
}
