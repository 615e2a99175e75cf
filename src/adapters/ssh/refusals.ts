import type { Refusal } from "../../errors.ts";
import { disconnectReasons, sshDisconnect } from "../../wire/ssh-disconnect.ts";

/** OpenSSH shows 400 characters; the code and the connection's id at the end are to be among them. */
const maxSentence = 300;

/** What the router says of itself, where it answers in a server's place. */
export const ownIdentification = new TextEncoder().encode("SSH-2.0-Sallyport\r\n");

const said = ({ reason, message }: Refusal): readonly [reason: number, sentence: string] => {
  switch (reason) {
    // Where the fault is the upstream's, not where that is.
    case "upstream_unreachable":
      return [disconnectReasons.serviceNotAvailable, "the server can't be reached"];
    case "upstream_refused":
      return [disconnectReasons.serviceNotAvailable, "no SSH server answers at this name"];
    case "protocol_error":
      return [disconnectReasons.protocolError, message];
    case "limit_reached":
      return [disconnectReasons.tooManyConnections, message];
    case "draining":
      return [disconnectReasons.byApplication, message];
    default:
      return [disconnectReasons.hostNotAllowed, message];
  }
};

/** What a client is told, as a packet. */
export function disconnectFor(refusal: Refusal, id: string): Uint8Array {
  const [reason, sentence] = said(refusal);
  const words = `sallyport: ${sentence.slice(0, maxSentence)} (${refusal.reason}, connection ${id})`;
  return sshDisconnect(reason, words);
}
