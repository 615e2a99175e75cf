import type { Credentials } from "../../core/route.ts";
import { ScramClient, ScramError } from "../../sasl/scram.ts";
import type { Authenticator } from "./authenticator.ts";
import { refusal, states } from "./refusal.ts";
import { isPrivate, type Upstream } from "./upstream.ts";
import { passwordMessage, saslInitialResponse, saslResponse, textOf } from "./wire.ts";

const mechanism = "SCRAM-SHA-256";

/** Why the router can't log in. It is no business of the client's what the upstream said to that. */
const unable = (detail: string) =>
  refusal(
    "upstream_refused",
    states.rejected,
    `the router can't log in at the database: ${detail}`,
    `logging in at the upstream: ${detail}`,
  );

/** Logs in at the upstream with what the router keeps; the client is not asked for anything. */
export function ownLogin(
  { password }: Credentials,
  user: string,
  upstream: Upstream,
  md5Hex: (data: Uint8Array) => string,
): Authenticator {
  const { connection } = upstream;
  let scram: ScramClient | null = null;

  const given = (): string => {
    if (password === null) throw unable("it asks for a password, and the route has none");
    return password;
  };
  const inPrivate = (what: string): string => {
    if (!isPrivate(upstream))
      throw unable(`it asks for ${what}, which is sent in verified TLS alone: set upstream_tls=verify`);
    return given();
  };
  /** What Postgres calls md5: of the password and user, then of that and a salt. */
  const md5 = (secret: string, salt: Uint8Array): string => {
    const stored = md5Hex(new TextEncoder().encode(secret + user));
    return `md5${md5Hex(Uint8Array.of(...new TextEncoder().encode(stored), ...salt))}`;
  };
  const said = (data: Uint8Array): string => textOf(data) ?? "";

  return {
    async answer(asked) {
      switch (asked.kind) {
        case "ok":
          if (scram !== null && !scram.proven) throw unable("it did not prove that it knows the password");
          return;
        case "cleartext":
          return connection.write(passwordMessage(inPrivate("the password itself")));
        case "md5":
          return connection.write(passwordMessage(md5(inPrivate("an MD5 of the password"), asked.salt)));
        case "sasl":
          if (!asked.mechanisms.includes(mechanism) || scram !== null)
            throw unable(`it asks for ${asked.mechanisms.join(", ")}: only ${mechanism} is spoken here`);
          // The startup message has said who it is.
          scram = new ScramClient("", given());
          return connection.write(saslInitialResponse(mechanism, scram.first()));
        case "sasl-continue":
          if (scram === null) throw unable("it answers what was not said");
          return connection.write(saslResponse(await scram.final(said(asked.data)).catch(disproved)));
        case "sasl-final":
          if (scram === null) throw unable("it answers what was not said");
          return scram.verify(said(asked.data)).catch(disproved);
        default:
          throw unable(`it asks for a login of kind ${asked.code}, which is not spoken here`);
      }
    },
    release: () => {},
  };
}

function disproved(error: unknown): never {
  throw error instanceof ScramError ? unable(error.message) : error;
}
