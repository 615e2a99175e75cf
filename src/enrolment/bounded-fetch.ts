import { EnrolmentRefusal } from "./refusal.ts";

const timeoutMs = 5000;
const maxBytes = 256 * 1024;

const unreachable = (url: string, why: string): EnrolmentRefusal =>
  new EnrolmentRefusal("upstream_unreachable", `the provider's ${url} ${why}`, 10);

/** Node says "fetch failed" of everything, and why in the cause. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

/** The body as text, up to the bound. */
async function textOf(url: string, response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let bytes = 0; reader !== undefined; ) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.length;
    if (bytes > maxBytes) {
      await reader.cancel();
      throw unreachable(url, `answers with more than ${maxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
  return text + decoder.decode();
}

/** An answer of a provider that is no longer than it should be; whoever asks bounds the time. Throws an `EnrolmentRefusal`. */
export async function boundedFetch(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  const text = await textOf(url, response);
  const headers = new Headers(response.headers);
  // Of the bytes that came, which were decoded.
  for (const name of ["content-encoding", "content-length"]) headers.delete(name);
  return new Response(text === "" ? null : text, { status: response.status, headers });
}

/** JSON from a provider: a moment's patience, a bounded answer, no redirects. Throws an `EnrolmentRefusal`. */
export async function fetchJson(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, {
      redirect: "error",
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw unreachable(url, `answers ${response.status}`);
    }
    return JSON.parse(await textOf(url, response));
  } catch (error) {
    if (error instanceof EnrolmentRefusal) throw error;
    throw unreachable(url, `can't be read: ${reasonOf(error)}`);
  }
}
