import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";

/** What of the provider's library is used here; it comes without types. */
interface ProviderLibrary {
  readonly Provider: new (issuer: string, configuration: object) => { callback(): RequestListener };
}

const library = "oidc-provider";

export const webSecret = "a secret / of + a % client";

export interface OpenIdProvider {
  readonly issuer: string;
  close(): void;
}

/**
 * A real OpenID provider on this machine, with its development pages for logging in: any name, any password. It
 * knows a public client, `sallyport`, and one for browsers with a secret, `sallyport-web`; whoever logs in has an email
 * address and is in the group `payments`.
 */
export async function startOpenIdProvider(): Promise<OpenIdProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const warn = console.warn;
  const info = console.info;
  // It warns of being used for development, which is what it is used for.
  Object.assign(console, { warn: () => {}, info: () => {} });
  try {
    const { Provider } = (await import(library)) as ProviderLibrary;
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: "sallyport",
          token_endpoint_auth_method: "none",
          application_type: "native",
          redirect_uris: ["http://127.0.0.1/callback"],
          grant_types: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
          response_types: ["code"],
        },
        {
          client_id: "sallyport-web",
          client_secret: webSecret,
          redirect_uris: ["https://gate.example.com/.well-known/sallyport/callback"],
          grant_types: ["authorization_code"],
          response_types: ["code"],
        },
      ],
      features: { deviceFlow: { enabled: true } },
      claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
      scopes: ["openid", "email", "groups"],
      conformIdTokenClaims: false,
      ttl: { AccessToken: 600, DeviceCode: 600, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
      pkce: { required: () => true },
      findAccount: (_: unknown, id: string) => ({
        accountId: id,
        claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, groups: ["payments"] }),
      }),
    });
    server.on("request", provider.callback());
  } finally {
    Object.assign(console, { warn, info });
  }
  return {
    issuer,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A browser without a screen: follows redirects, keeps cookies, sends forms. */
export class Visitor {
  readonly #cookies = new Map<string, string>();
  /** Where it is. */
  url = "";
  html = "";

  async open(url: string, form?: Readonly<Record<string, string>>): Promise<void> {
    let next: string | null = url;
    let body = form === undefined ? null : new URLSearchParams(form);
    while (next !== null) {
      const response: Response = await fetch(next, {
        method: body === null ? "GET" : "POST",
        ...(body === null ? {} : { body }),
        redirect: "manual",
        headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
      });
      for (const cookie of response.headers.getSetCookie()) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
        if (value === "") this.#cookies.delete(name);
        else this.#cookies.set(name, value);
      }
      this.url = next;
      this.html = await response.text();
      const location = response.headers.get("location");
      next = location === null ? null : new URL(location, next).href;
      body = null;
    }
  }

  /** Sends the page's form with these fields filled in. */
  async submit(fields: Readonly<Record<string, string>>): Promise<void> {
    const action = /<form[^>]*action="([^"]*)"/.exec(this.html)?.[1] ?? this.url;
    const hidden = [...this.html.matchAll(/<input[^>]*type="hidden"[^>]*>/g)].map(([input]) => [
      /name="([^"]*)"/.exec(input)?.[1] ?? "",
      /value="([^"]*)"/.exec(input)?.[1] ?? "",
    ]);
    await this.open(new URL(action.replaceAll("&amp;", "&"), this.url).href, {
      ...(Object.fromEntries(hidden) as Record<string, string>),
      ...fields,
    });
  }
}
