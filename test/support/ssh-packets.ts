import assert from "node:assert/strict";
import type { Connection } from "../../src/types.ts";
import { readSome } from "./pairs.ts";

export interface Disconnect {
  /** RFC 4253 §11.1. */
  readonly reason: number;
  readonly sentence: string;
}

/** What is said in an SSH_MSG_DISCONNECT that is one whole packet, as packets are before keys are exchanged. */
export function disconnectIn(bytes: Uint8Array): Disconnect {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = view.getUint32(0);
  const padding = view.getUint8(4);
  assert.equal(bytes.length, 4 + length);
  assert.equal(bytes.length % 8, 0);
  assert.ok(padding >= 4);
  const payload = bytes.subarray(5, bytes.length - padding);
  assert.equal(payload[0], 1);
  const body = new DataView(payload.buffer, payload.byteOffset + 1, payload.length - 1);
  const reason = body.getUint32(0);
  const end = 8 + body.getUint32(4);
  const sentence = new TextDecoder().decode(payload.subarray(1 + 8, 1 + end));
  // No language, and nothing behind it.
  assert.equal(body.getUint32(end), 0);
  assert.equal(body.byteLength, end + 4);
  return { reason, sentence };
}

/** Reads that packet, and what comes `before` it, as a client does that then leaves, unless it `stays`. */
export async function told(
  client: Connection,
  before = "SSH-2.0-Sallyport\r\n",
  stays = false,
): Promise<Disconnect> {
  assert.equal((await readSome(client, before.length)).toString("latin1"), before);
  const head = await readSome(client, 4);
  const rest = await readSome(client, head.readUInt32BE());
  if (!stays) await client.closeWrite();
  return disconnectIn(new Uint8Array(Buffer.concat([head, rest])));
}
