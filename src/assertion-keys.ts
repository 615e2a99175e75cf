import { ConfigError } from "./errors.ts";
import { type AssertionKeys, GeneratedKeys, givenKeys } from "./identity/assertion-key.ts";

/** The keys of the router's assertions, made anew without any. Throws a `ConfigError`. */
export async function assertionKeysOf(pem: string | null): Promise<AssertionKeys> {
  try {
    return pem === null ? new GeneratedKeys(Date.now()) : await givenKeys(pem);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ConfigError([{ name: "SALLYPORT_JWT_KEY", message }]);
  }
}
