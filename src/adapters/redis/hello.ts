import { argumentText, commandName } from "../../wire/redis.ts";

/** What a client says of itself in `AUTH` or `HELLO`. */
export interface Claim {
  /** `null` where it names nobody. */
  readonly user: string | null;
  /** As they came, without the word `AUTH`. */
  readonly words: readonly Uint8Array[];
}

/** A user's name that is no text is nobody's. */
const nobody = "\0";
const userOf = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? nobody : (argumentText(bytes) ?? nobody);

/** `AUTH [user] password`; `null` in any other form. */
export function readAuth(args: readonly Uint8Array[]): Claim | null {
  const words = args.slice(1);
  if (words.length === 1) return { user: null, words };
  return words.length === 2 ? { user: userOf(words[0]), words } : null;
}

/** `HELLO [version [AUTH user password] [SETNAME name]]`; `null` in any other form. */
export function readHello(
  args: readonly Uint8Array[],
): { readonly claim: Claim | null; readonly without: readonly Uint8Array[] } | null {
  const without = args.slice(0, 2);
  let claim: Claim | null = null;
  for (let at = 2; at < args.length; ) {
    const option = commandName(args[at] ?? new Uint8Array(0));
    const words = args.slice(at + 1, at + (option === "auth" ? 3 : 2));
    if (option === "auth" && words.length === 2) claim = { user: userOf(words[0]), words };
    else if (option === "setname" && words.length === 1) without.push(...args.slice(at, at + 2));
    else return null;
    at += 1 + words.length;
  }
  return { claim, without };
}
