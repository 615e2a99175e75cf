/** What is kept of a statement, bytes: more than its line in the audit log has room for. */
export const maxText = 8192;

/** A statement, or what stands for one. */
export interface Text {
  readonly text: string;
  /** Characters that were not kept. */
  readonly omitted: number;
}

/** What a message of the client's is about, which the server answers when its turn has come. */
export type Asked =
  | { readonly kind: "query"; readonly what: Text }
  | { readonly kind: "parse"; readonly name: string; readonly what: Text }
  | { readonly kind: "bind"; readonly name: string; readonly portal: string }
  | { readonly kind: "execute"; readonly portal: string }
  | { readonly kind: "close"; readonly of: string; readonly name: string }
  | { readonly kind: "describe" | "sync" | "copy-end" };

const lenient = new TextDecoder();

/** A text of SQL's, up to the zero byte behind it. */
export function textAt(bytes: Uint8Array, from: number): string {
  const end = bytes.indexOf(0, from);
  return lenient.decode(bytes.subarray(from, end < 0 ? bytes.length : end));
}

/** Servers cut longer names (`NAMEDATALEN`), and then take two of them for one: what they mean can't be remembered. */
export const isCut = (name: string): boolean => name.length > 63;
/** A longer name still would leave no room for the statement behind it. */
const maxName = 1024;

/** A name, each byte a character so that no two look the same; `undefined` for one that is too long. */
function nameAt(bytes: Uint8Array, from: number): string | undefined {
  const end = bytes.indexOf(0, from);
  return end < 0 || end - from > maxName ? undefined : String.fromCharCode(...bytes.subarray(from, end));
}

export const unknown = (what: string, name: string): Text => ({
  text: `(${what} ${JSON.stringify(name.slice(0, 64))})`,
  omitted: 0,
});

/**
 * What a client's message asks of the server; `null` where that gives no answer of its own, `undefined` where it can't
 * be told what will run.
 */
export function askedBy(type: string, bytes: Uint8Array, length: number): Asked | null | undefined {
  const omitted = length - bytes.length;
  switch (type) {
    case "Q":
      return { kind: "query", what: { text: textAt(bytes, 0), omitted } };
    case "P": {
      const name = nameAt(bytes, 0);
      if (name === undefined) return undefined;
      return { kind: "parse", name, what: { text: textAt(bytes, name.length + 1), omitted } };
    }
    case "B": {
      const portal = nameAt(bytes, 0);
      const name = nameAt(bytes, (portal?.length ?? 0) + 1);
      return portal === undefined || name === undefined ? undefined : { kind: "bind", portal, name };
    }
    case "E": {
      const portal = nameAt(bytes, 0);
      return portal === undefined ? undefined : { kind: "execute", portal };
    }
    case "F": {
      const oid = bytes.length < 4 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
      return { kind: "query", what: { text: `(call of function ${oid})`, omitted: 0 } };
    }
    case "C": {
      const name = nameAt(bytes, 1);
      if (name === undefined) return undefined;
      return { kind: "close", of: String.fromCharCode(bytes[0] ?? 0), name };
    }
    case "D":
      return { kind: "describe" };
    case "S":
      return { kind: "sync" };
    case "c":
    case "f":
      return { kind: "copy-end" };
    default:
      return null;
  }
}
