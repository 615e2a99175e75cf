import { lingeringClose } from "../../core/linger.ts";
import { replyLine } from "../../wire/redis.ts";
import { type Front, ToldClient } from "./front.ts";
import { withoutTls } from "./tls-first.ts";

/**
 * For protocols whose clients speak first and know of TLS only from the first byte on, or not at all.
 *
 * @param refusal how the protocol says that something went wrong; `null`: it has no words for it before a request
 */
export const speaksFirst = (refusal: ((message: string) => Uint8Array) | null): Front => ({
  async open(accepted, back) {
    const client = await withoutTls(accepted, back, []);
    if (client === null) return null;
    try {
      return [client, await back.dial()];
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      await lingeringClose(client, refusal?.(`sallyport: ${message}`));
      throw new ToldClient(message);
    }
  },
});

const redisError = (message: string): Uint8Array => replyLine(`-ERR ${message}`);

export const redisFront: Front = speaksFirst(redisError);
export const mongodbFront: Front = speaksFirst(null);
