import { type Capabilities, capability, has } from "./capabilities.ts";
import { withoutZero } from "./greeting.ts";
import { first } from "./packet.ts";
import { Reader, text, Writer } from "./reader.ts";

/** A server's wish to log in by another way ("AuthSwitchRequest"). */
export interface AuthSwitch {
  readonly plugin: string;
  readonly challenge: Uint8Array;
}

export function parseAuthSwitch(payload: Uint8Array): AuthSwitch | null {
  if (payload[0] !== first.eof) return null;
  const reader = new Reader(payload, 1);
  const plugin = reader.zeroEnded();
  // Alone, it asks for what servers before 4.1 had.
  if (plugin === undefined) return { plugin: "mysql_old_password", challenge: new Uint8Array(0) };
  return { plugin: text(plugin), challenge: withoutZero(reader.rest() ?? new Uint8Array(0)) };
}

/** What another factor is to be proved by ("AuthNextFactor"). */
export function parseNextFactor(payload: Uint8Array): AuthSwitch | null {
  if (payload[0] !== first.nextFactor) return null;
  const reader = new Reader(payload, 1);
  const plugin = reader.zeroEnded();
  return plugin === undefined
    ? null
    : { plugin: text(plugin), challenge: withoutZero(reader.rest() ?? new Uint8Array(0)) };
}

export const authSwitchPayload = ({ plugin, challenge }: AuthSwitch): Uint8Array =>
  new Writer().uint(1, first.eof).zeroEnded(plugin).zeroEnded(challenge).done();

/** `caching_sha2_password`: the answer was right. */
export const rememberedPayload = Uint8Array.of(first.more, 0x03);

/** Whether a server's packet ends the connection phase: OK or an error. */
export const mysqlPhaseEnds = (payload: Uint8Array): boolean =>
  payload[0] === first.ok || payload[0] === first.error;

/** Whether the server has more to say before it is the client's turn: that a remembered password was right. */
export const mysqlGoesOn = (payload: Uint8Array): boolean =>
  payload.length === 2 && payload[0] === first.more && payload[1] === 0x03;

/** Whether `caching_sha2_password` asks for the password itself. */
export const asksForPassword = (payload: Uint8Array): boolean =>
  payload.length === 2 && payload[0] === first.more && payload[1] === 0x04;

/** Whom a `COM_CHANGE_USER` asks to be, and in which database; `null` where it can't be read. */
export function parseChangeUser(
  payload: Uint8Array,
  capabilities: Capabilities,
): { readonly user: string; readonly database: string | null } | null {
  const reader = new Reader(payload, 1);
  const user = reader.zeroEnded();
  if (has(capabilities, capability.secureConnection)) reader.bytes(reader.uint(1) ?? 0);
  else reader.zeroEnded();
  const database = reader.zeroEnded();
  if (user === undefined || database === undefined) return null;
  return { user: text(user), database: database.length === 0 ? null : text(database) };
}
