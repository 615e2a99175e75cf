import { bytesOf, type Element, readDocument, textOf } from "../../wire/bson.ts";

/** What a client wants to prove who it is with. */
export interface Claim {
  readonly mechanism: string;
  /** `null` where it names nobody; `undefined` where the mechanism does not tell us. */
  readonly user: string | null | undefined;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const element = (body: readonly Element[], name: string): Element | undefined => {
  const found = body.filter((one) => one.name === name);
  return found.length === 1 ? found[0] : undefined;
};

/** The user in the first message of SCRAM (RFC 5802) or PLAIN (RFC 4616). */
function userIn(mechanism: string, payload: Uint8Array | null): string | undefined {
  let text: string;
  try {
    text = decoder.decode(payload ?? Uint8Array.of());
  } catch {
    return undefined;
  }
  if (mechanism === "PLAIN") {
    const [authorization, user, password, ...more] = text.split("\0");
    if (user === undefined || password === undefined || more.length > 0) return undefined;
    return authorization === "" || authorization === user ? user : undefined;
  }
  if (!mechanism.startsWith("SCRAM-")) return undefined;
  const name = /^[ny],,n=([^,]*),r=/.exec(text)?.[1];
  return name === undefined || /=(?!2C|3D)/.test(name)
    ? undefined
    : name.replaceAll("=2C", ",").replaceAll("=3D", "=");
}

/** Who a client says it is in `authenticate` or `saslStart`, or in what it has to say ahead of them. */
export function readClaim(command: string, body: readonly Element[]): Claim {
  const mechanism = textOf(element(body, "mechanism")) ?? "";
  if (command === "authenticate") {
    const named = body.filter(({ name }) => name === "user");
    return { mechanism, user: named.length === 0 ? null : (textOf(element(body, "user")) ?? undefined) };
  }
  return { mechanism, user: userIn(mechanism, bytesOf(element(body, "payload"))) };
}

/** What a `hello` says ahead of `saslStart` or `authenticate`; `null`: nothing, or nothing sound. */
export function aheadClaim(value: Element): Claim | null {
  const body = readDocument(value.value);
  const [first] = body ?? [];
  return body === null || first === undefined ? null : readClaim(first.name, body);
}
