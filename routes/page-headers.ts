import { script } from "./status/script.ts";
import { style } from "./status/style.ts";

/** An inline script or style as a Content-Security-Policy names it (CSP 3 §2.3.1). */
async function hashOf(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return `'sha256-${btoa(String.fromCharCode(...digest))}'`;
}

async function headers(): Promise<Readonly<Record<string, string>>> {
  const policy = [
    "default-src 'none'",
    `style-src ${await hashOf(style)}`,
    `script-src ${await hashOf(script)}`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types sallyport",
  ];
  return {
    "Strict-Transport-Security": "max-age=31536000",
    "Content-Security-Policy": policy.join("; "),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
  };
}

let made: Promise<Readonly<Record<string, string>>> | undefined;

/**
 * Whatever the router's own app answers: nothing runs or is shown but the script and the style that are ours, nothing
 * is kept, framed, sniffed or read from elsewhere.
 */
export function pageHeaders(): Promise<Readonly<Record<string, string>>> {
  made ??= headers();
  return made;
}
