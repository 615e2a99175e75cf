import { files } from "../runtime/files.ts";
import { parseSshPublicKey, type SshPublicKey } from "../wire/ssh-public-key.ts";
import { UsageError } from "./command.ts";

/** The key in a `.pub` file, which a flag names. */
export function sshKeyIn(file: string, flag: string): SshPublicKey {
  let text: string;
  try {
    text = files.read(file);
  } catch {
    throw new UsageError(`${flag} ${file} can't be read: expected a file such as ~/.ssh/id_ed25519.pub`);
  }
  const publicKey = parseSshPublicKey(text);
  if ("problem" in publicKey) throw new UsageError(`${flag} ${file} ${publicKey.problem}`);
  return publicKey;
}
