import type { HttpFields, HttpResponse } from "../http/exchange.ts";
import { signInPath, signOutPath } from "./paths.ts";

const style =
  ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:40rem;margin:3rem auto;padding:0 1rem}";

const escaped = (text: string): string =>
  text
    .replace(/[&<>"']/g, (c) => `&#${c.codePointAt(0)};`)
    .replace(/[^\x20-\x7e]/gu, (c) => `&#${c.codePointAt(0)};`);

const common: HttpFields = [
  ["cache-control", "no-store"],
  // The address may hold what a provider sent the browser back with. Not `no-referrer`: it makes the Origin of forms `null`.
  ["referrer-policy", "same-origin"],
];

/** A page of ours, for a person: a sentence or two, and what to do. */
function page(status: number, title: string, text: string, more: string, fields: HttpFields): HttpResponse {
  const body = new TextEncoder().encode(
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escaped(title)}</title><style>${style}</style><main><h1>${escaped(title)}</h1><p>${escaped(text)}</p>${more}</main></html>\n`,
  );
  return {
    status,
    fields: [
      ["content-type", "text/html; charset=utf-8"],
      ["content-length", String(body.length)],
      [
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
      ],
      ["x-content-type-options", "nosniff"],
      ...common,
      ...fields,
    ],
    body: once(body),
  };
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

const again = `<p><a href="${signInPath}">Sign in</a></p>`;
const leave = `<form method="post" action="${signOutPath}"><button>Sign out</button></form>`;

export const failedPage = (status: number, why: string, fields: HttpFields): HttpResponse =>
  page(status, "You are not signed in", why, again, fields);

export const refusedPage = (why: string): HttpResponse => page(403, "This is not for you", why, leave, []);

export const signOutPage = (): HttpResponse => page(200, "Sign out", "This signs you out here.", leave, []);

export const signedOutPage = (fields: HttpFields): HttpResponse =>
  page(200, "You are signed out", "At the provider you may still be signed in.", again, fields);

export const methodNotAllowed = (allow: string): HttpResponse => ({
  status: 405,
  fields: [
    ["allow", allow],
    ["content-length", "0"],
  ],
  body: null,
});

/** To another place, which is a whole address: never a path that could be read as one. */
export const redirect = (location: string, fields: HttpFields = []): HttpResponse => ({
  status: 303,
  fields: [["location", location], ["content-length", "0"], ...common, ...fields],
  body: null,
});
