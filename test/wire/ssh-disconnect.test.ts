import assert from "node:assert/strict";
import { it } from "node:test";
import { disconnectReasons, sshDisconnect } from "../../src/wire/ssh-disconnect.ts";
import { disconnectIn } from "../support/ssh-packets.ts";

it("an SSH disconnect is one whole packet, whatever the sentence's length", () => {
  for (let length = 0; length < 64; length++) {
    const sentence = "é".repeat(length);
    const packet = sshDisconnect(disconnectReasons.protocolError, sentence);
    assert.deepEqual(disconnectIn(packet), { reason: 2, sentence });
  }
});
