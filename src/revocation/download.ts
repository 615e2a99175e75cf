export interface DownloadLimits {
  readonly maxBytes: number;
  readonly withinMs: number;
}

/** What is at a URL, bounded in size and time. Rejects with words for the operator. */
export async function download(
  url: string,
  { maxBytes, withinMs }: DownloadLimits,
  question: RequestInit = {},
): Promise<Uint8Array> {
  const response = await fetch(url, {
    ...question,
    // What stands at another address is another's word.
    redirect: "manual",
    signal: AbortSignal.timeout(withinMs),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`it answers ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (const reader = response.body?.getReader(); reader !== undefined; ) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxBytes) {
      await reader.cancel();
      throw new Error(`it is longer than ${maxBytes} bytes`);
    }
    chunks.push(value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
