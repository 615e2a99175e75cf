import type { Certificate } from "./certificate.ts";
import { isHost } from "./host.ts";
import { sameBytes } from "./same-bytes.ts";

/** Who the holder of a certificate is expected to be. An address is 4 or 16 bytes. */
export type PeerName =
  | { readonly type: "dns" | "email"; readonly value: string }
  | { readonly type: "ip"; readonly value: Uint8Array };

/** A wildcard stands for one whole first label (RFC 9525 §6.3), and not below a top-level domain. */
function matchesHost(presented: string, host: string): boolean {
  const name = presented.toLowerCase();
  if (!name.startsWith("*.")) return isHost(name) && name === host;
  const parent = name.slice(2);
  return isHost(parent) && parent.includes(".") && host.slice(host.indexOf(".") + 1) === parent;
}

/** Local parts are compared as they stand, hosts whatever their case (RFC 5280 §7.5). */
function sameMailbox(a: string, b: string): boolean {
  const [left, right] = [a.lastIndexOf("@"), b.lastIndexOf("@")];
  return (
    a.slice(0, left) === b.slice(0, right) && a.slice(left).toLowerCase() === b.slice(right).toLowerCase()
  );
}

/** Whether a certificate is for this name. Its alternative names alone count, never its common name (RFC 9525 §2). */
export function isFor({ alternativeNames }: Certificate, wanted: PeerName): boolean {
  if (wanted.type === "dns") {
    const host = wanted.value.toLowerCase().replace(/\.$/, "");
    return (
      isHost(host) && alternativeNames.some((name) => name.type === "dns" && matchesHost(name.value, host))
    );
  }
  return alternativeNames.some((name) => {
    if (wanted.type === "ip") return name.type === "ip" && sameBytes(name.value, wanted.value);
    return name.type === "email" && sameMailbox(name.value, wanted.value);
  });
}
