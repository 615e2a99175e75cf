import { readFileSync } from "node:fs";
import { z } from "zod";
import { looksLikeJoinToken } from "../enrolment/join-token.ts";
import { keyHash } from "../enrolment/key-hash.ts";
import { newRequest } from "../enrolment/new-request.ts";
import { printable } from "../observe/printable.ts";
import { openClient } from "./client.ts";
import { clientFlags, clientPair, clientUsage } from "./client-options.ts";
import { type CliIo, type Command, UsageError } from "./command.ts";
import { type LoginProvider, loginInBrowser, loginOnDevice } from "./login/openid.ts";
import { lifetime, options, portFlag } from "./options.ts";
import { profileFolder, sshKeyOf } from "./profile.ts";
import { keepCertified } from "./renewal.ts";
import type { RouterApi } from "./router-api.ts";
import { describeCertificate, statusLines } from "./status.ts";

const providersAnswer = z.object({
  providers: z.array(
    z.object({ name: z.string(), issuer: z.string(), client_id: z.string(), scope: z.string() }),
  ),
});

const flagsOfLogin = {
  ...clientFlags,
  device: { type: "boolean" },
  token: { type: "string" },
  renew: { type: "boolean" },
  provider: { type: "string" },
  "no-browser": { type: "boolean" },
  "callback-port": { type: "string" },
  timeout: { type: "string" },
  json: { type: "boolean" },
} as const;

type Flags = ReturnType<typeof options<typeof flagsOfLogin>>;

/** The one provider that was named, or that there is. */
async function providerOf(api: RouterApi, name: string | undefined): Promise<LoginProvider> {
  const { providers } = await api.ask("GET", "/v1/login", providersAnswer);
  const names = providers.map((one) => printable(one.name)).join(", ");
  if (name !== undefined) {
    const found = providers.find((one) => one.name === name);
    if (found === undefined)
      throw new UsageError(`--provider ${name}: the router has ${names === "" ? "none" : names}`);
    return found;
  }
  const [only, ...others] = providers;
  if (only === undefined) throw new Error("this router has no provider to log in at: expected --token");
  if (others.length > 0) throw new UsageError(`--provider is missing: expected one of ${names}`);
  return only;
}

/** What shows who we are, as a member of the request's body. */
async function credential(
  flags: Flags,
  api: RouterApi,
  io: CliIo,
  nonce: string,
): Promise<Record<string, string>> {
  if (flags.renew === true) return {};
  if (flags.token !== undefined) {
    const token = (flags.token === "-" ? readFileSync(0, "utf8") : flags.token).trim();
    if (token === "") throw new UsageError("--token is empty: expected a join token or an ID token");
    return looksLikeJoinToken(token) ? { join_token: token } : { id_token: token };
  }
  const withinMs = lifetime(flags.timeout, "--timeout", 5 * 60_000, 3_600_000);
  const provider = await providerOf(api, flags.provider);
  if (flags.device === true) return { id_token: await loginOnDevice(provider, io, withinMs) };
  const port = portFlag(flags["callback-port"], "--callback-port");
  const open = flags["no-browser"] !== true;
  return { id_token: await loginInBrowser(provider, io, { nonce, port, open, withinMs }) };
}

export const login: Command = {
  usage: `Usage: sallyport login [--router HOST[:PORT]] [--provider NAME] [--no-browser] [--callback-port N]
       sallyport login --device [--provider NAME]
       sallyport login --token TOKEN
       sallyport login --renew

Gets a client certificate from the router's authority and keeps it as the profile, in
$XDG_CONFIG_HOME/sallyport or ~/.config/sallyport. The key is made here and stays here. Where
the authority issues them, an SSH certificate comes with it, which "config ssh" has ssh use.

  (no flag)   logs in with a browser on this machine (OpenID Connect, code with PKCE)
  --device    logs in with a browser anywhere (device authorization)
  --token     shows a join token ("sallyport ca token") or an ID token, of a CI job for
              example; - reads it from standard input
  --renew     shows the certificate there is, before it expires

  --provider NAME       which of the router's OpenID providers, where it has several
  --timeout DURATION    how long to wait for the browser, 5m unless given
  --json                says what "status --json" says
${clientUsage}`,

  async run(args, io) {
    const flags = options(args, flagsOfLogin);
    const ways = [flags.device === true, flags.token !== undefined, flags.renew === true];
    if (ways.filter(Boolean).length > 1)
      throw new UsageError("expected one of --device, --token and --renew");
    const old = flags.renew === true ? clientPair(flags, io.env) : null;
    if (flags.renew === true && old === null)
      throw new Error("there is no certificate to renew: log in without --renew");
    const client = await openClient(flags, io.env);
    const api = client.api(old);
    try {
      const request = await newRequest();
      const shown = await credential(flags, api, io, await keyHash(request.publicKey));
      const folder = profileFolder(io.env);
      const kept = flags.renew === true ? sshKeyOf(folder) : null;
      const pair = await keepCertified(api, request, shown, folder, client.address, kept);
      const router = client.link.name;
      const status = await describeCertificate(pair, router, Date.now());
      for (const line of flags.json === true ? [JSON.stringify(status)] : statusLines(status)) io.out(line);
      return 0;
    } finally {
      api.close();
    }
  },
};
