import { chainFrom, pemOrPath } from "../config/pem.ts";
import { type ClientPair, type RouterAddress, type TunnelMode, tunnelModes } from "../local/link.ts";
import { files } from "../runtime/files.ts";
import { normaliseServerName } from "../wire/server-name.ts";
import { type CliIo, UsageError } from "./command.ts";
import { profileFolder, readProfile } from "./profile.ts";

/** The flags that every client command has, for `options`. */
export const clientFlags = {
  router: { type: "string" },
  ca: { type: "string" },
  "client-cert": { type: "string" },
  "client-key": { type: "string" },
  tunnel: { type: "string" },
} as const;

/** How the help says it. */
export const clientUsage = `  --router HOST[:PORT]  the router (SALLYPORT_ROUTER); port 8443 unless given
  --ca FILE             trust anchors for its certificate (SALLYPORT_CA); else the system's
  --client-cert FILE, --client-key FILE
                        instead of the profile's (SALLYPORT_CLIENT_CERT, SALLYPORT_CLIENT_KEY)
  --tunnel auto|always|never
                        through a WebSocket, for balancers that end TLS; auto, the default,
                        finds out and remembers (SALLYPORT_TUNNEL)
  HTTPS_PROXY, NO_PROXY in the environment: an HTTP proxy on the way, as curl has them`;

export interface Given {
  readonly router?: string | undefined;
  readonly ca?: string | undefined;
  readonly "client-cert"?: string | undefined;
  readonly "client-key"?: string | undefined;
  readonly tunnel?: string | undefined;
}

/** A value and where it came from, for messages. */
interface Sourced {
  readonly text: string;
  readonly from: string;
}

const sourced = (
  flag: string,
  given: string | undefined,
  name: string,
  env: CliIo["env"],
): Sourced | null => {
  if (given !== undefined) return { text: given, from: flag };
  const value = env[name];
  return value === undefined || value === "" ? null : { text: value, from: name };
};

function read(value: Sourced, how: (text: string) => string): string {
  try {
    return how(value.text);
  } catch (error) {
    throw new UsageError(`${value.from} ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Where the router is: by flag, by the environment, or as the profile has it. */
export function routerAddress(given: Given, env: CliIo["env"]): RouterAddress {
  const profile = readProfile(profileFolder(env));
  const router = sourced("--router", given.router, "SALLYPORT_ROUTER", env) ?? {
    text: profile.router ?? "",
    from: "the profile",
  };
  if (router.text === "")
    throw new UsageError(
      "--router is missing: expected it, or SALLYPORT_ROUTER, such as gate.example.com:8443",
    );
  const [, host, digits = "8443"] = /^([A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(router.text) ?? [];
  const port = Number(digits);
  // An address can't be asked for in TLS (RFC 6066 §3), and it is by a name that the router knows its own pages.
  if (host === undefined || normaliseServerName(host) === null || port < 1 || port > 65_535)
    throw new UsageError(
      `${router.from} ${JSON.stringify(router.text)}: expected a name, such as gate.example.com:8443`,
    );
  const ca = sourced("--ca", given.ca, "SALLYPORT_CA", env);
  return { host, port, ca: ca === null ? profile.ca : read(ca, (text) => chainFrom(text, files)) };
}

/** The client's certificate: by flag, by the environment, or the profile's; `null` where there is none. */
export function clientPair(given: Given, env: CliIo["env"]): ClientPair | null {
  const certificate = sourced("--client-cert", given["client-cert"], "SALLYPORT_CLIENT_CERT", env);
  const key = sourced("--client-key", given["client-key"], "SALLYPORT_CLIENT_KEY", env);
  if ((certificate === null) !== (key === null))
    throw new UsageError(
      "--client-cert and --client-key go together (SALLYPORT_CLIENT_CERT, SALLYPORT_CLIENT_KEY)",
    );
  if (certificate !== null && key !== null) {
    return {
      certificate: read(certificate, (text) => chainFrom(text, files)),
      key: read(key, (text) => pemOrPath(text, files)),
    };
  }
  const profile = readProfile(profileFolder(env));
  return profile.certificate === null || profile.key === null
    ? null
    : { certificate: profile.certificate, key: profile.key };
}

/** Whether connections go inside a WebSocket. */
export function tunnelMode(given: Given, env: CliIo["env"]): TunnelMode {
  const said = sourced("--tunnel", given.tunnel, "SALLYPORT_TUNNEL", env);
  const mode = tunnelModes.find((one) => one === (said?.text ?? "auto"));
  if (mode === undefined)
    throw new UsageError(`${said?.from} ${said?.text}: expected ${tunnelModes.join(", ")}`);
  return mode;
}
