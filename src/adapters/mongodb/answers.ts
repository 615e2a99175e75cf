import { type MessageHeader, replyTo } from "../../wire/mongodb.ts";

/** Errors that drivers know by their numbers. */
const codes = {
  AuthenticationFailed: 18,
  CommandNotFound: 59,
  HostUnreachable: 6,
  ProtocolError: 17,
  Unauthorized: 13,
} as const;
export type CodeName = keyof typeof codes;

/** Why a command is not carried out. */
export interface Refused {
  readonly codeName: CodeName;
  readonly why: string;
}

export const refusedReply = (header: MessageHeader, { codeName, why }: Refused): Uint8Array =>
  replyTo(header, { ok: 0, errmsg: `sallyport: ${why}`, code: codes[codeName], codeName });

/** What a server says to a client that has proved who it is. */
export const authenticatedReply = (header: MessageHeader, command: string, user: string): Uint8Array =>
  replyTo(
    header,
    command === "authenticate"
      ? { dbname: "$external", user, ok: 1 }
      : { conversationId: 1, done: true, payload: new Uint8Array(0), ok: 1 },
  );
