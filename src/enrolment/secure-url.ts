const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** What a provider says may only come over TLS, or from this very machine. */
export function isSecureUrl(text: unknown): text is string {
  if (typeof text !== "string" || !URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || (protocol === "http:" && loopback.test(hostname));
}
