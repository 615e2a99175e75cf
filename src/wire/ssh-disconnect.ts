import { joined } from "./joined.ts";
import { sshString, sshUint32 } from "./ssh-data.ts";

/** RFC 4253 §11.1. */
export const disconnectReasons = {
  hostNotAllowed: 1,
  protocolError: 2,
  serviceNotAvailable: 7,
  byApplication: 11,
  tooManyConnections: 12,
} as const;

const messageDisconnect = 1;
/** RFC 4253 §6: before keys are exchanged, packets are whole multiples of this. */
const blockSize = 8;
const leastPadding = 4;

/** SSH_MSG_DISCONNECT (RFC 4253 §11.1) in a packet as it is before keys are exchanged (§6). */
export function sshDisconnect(reason: number, description: string): Uint8Array {
  const payload = joined([
    Uint8Array.of(messageDisconnect),
    sshUint32(reason),
    sshString(description),
    sshString(""),
  ]);
  const unpadded = 4 + 1 + payload.length;
  const padding = leastPadding + ((blockSize - ((unpadded + leastPadding) % blockSize)) % blockSize);
  return joined([
    sshUint32(1 + payload.length + padding),
    Uint8Array.of(padding),
    payload,
    new Uint8Array(padding),
  ]);
}
