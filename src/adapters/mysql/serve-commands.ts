import { databaseRulesOf } from "../../core/route.ts";
import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import { parseChangeUser } from "../../wire/mysql/auth.ts";
import { type Capabilities, capability, has } from "../../wire/mysql/capabilities.ts";
import { CommandStream, command } from "../../wire/mysql/commands.ts";
import { text, Writer } from "../../wire/mysql/reader.ts";
import { Audit, toldBytes } from "./audit.ts";
import type { LoggedIn } from "./login.ts";
import { codes } from "./refusals.ts";
import { mayOpen, userFor } from "./rights.ts";

/** What asks for a stream of changes, or for all the server has, as a replica would. */
const replication: readonly number[] = [
  command.binlogDump,
  command.tableDump,
  command.registerReplica,
  command.binlogDumpGtid,
  command.clone,
  command.subscribeGroup,
];

/**
 * A statement that does nothing but fail. It goes to the server in the place of a command that is refused, whose
 * answer then comes when it is due: nothing that is under way has to be known here.
 */
function failing(
  { code, state }: { readonly code: number; readonly state: string },
  message: string,
  capabilities: Capabilities,
): Uint8Array {
  const writer = new Writer().uint(1, command.query);
  // No attributes, one set of them.
  if (has(capabilities, capability.queryAttributes)) writer.uint(1, 0).uint(1, 1);
  // Fixed texts alone: whatever the session's character set and quoting are, they mean the same.
  return writer
    .text(`SIGNAL SQLSTATE '${state}' SET MYSQL_ERRNO=${code},MESSAGE_TEXT='sallyport: ${message}'`)
    .done();
}

/** What is to be said in the place of a command; `null`: the command itself. */
function judge(session: Session, capabilities: Capabilities, payload: Uint8Array): Uint8Array | null {
  const { route } = session;
  const [code] = payload;
  if (code === command.useDatabase) {
    if (mayOpen(session, text(payload.subarray(1)))) return null;
    return failing(codes.databaseDenied, "this database is not yours to open on this route", capabilities);
  }
  if (code !== command.changeUser)
    return failing(codes.specificAccess, "replication is not allowed on this route", capabilities);
  if ((route.upstream?.credentials ?? null) !== null)
    return failing(codes.accessDenied, "the user can only be changed by connecting anew", capabilities);
  const asked = parseChangeUser(payload, capabilities);
  if (asked === null) return failing(codes.handshake, "no change of user that can be read", capabilities);
  try {
    userFor(session, asked.user);
  } catch {
    return failing(codes.accessDenied, "this user is not yours to be on this route", capabilities);
  }
  if (asked.database !== null && !mayOpen(session, asked.database))
    return failing(codes.databaseDenied, "this database is not yours to open on this route", capabilities);
  if (!databaseRulesOf(route).auditStatements) session.opened({ user: asked.user, name: asked.database });
  return null;
}

/** Carries commands and their answers until both sides are done, and holds the client to what it may ask for. */
export async function serveCommands(session: Session, { upstream, capabilities }: LoggedIn): Promise<void> {
  const database = databaseRulesOf(session.route);
  const audit = database.auditStatements ? new Audit(session, capabilities) : null;
  const commands = new CommandStream({
    judged: new Set([
      command.changeUser,
      ...(database.replication ? [] : replication),
      ...(database.names === null ? [] : [command.useDatabase]),
    ]),
    judge: (payload) => judge(session, capabilities, payload),
    told: audit === null ? 0 : toldBytes,
    files: database.localInfile,
  });

  const followed = (refusal: Refusal | null): void => {
    if (refusal !== null) throw refusal;
  };
  try {
    await session.relay(upstream, {
      left: (chunk) => {
        const said = commands.push(chunk);
        if (said === null) throw new Refusal("protocol_error", "a command longer than such commands are");
        if (audit !== null) followed(audit.asked(said.commands));
        return said.pass;
      },
      ...(audit === null
        ? {}
        : {
            right: (chunk: Uint8Array) => {
              followed(audit.answered(chunk));
              return [chunk];
            },
          }),
    });
  } finally {
    audit?.ended();
  }
}
