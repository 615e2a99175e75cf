import type { z } from "zod";
import { parseHostTemplate } from "./names.ts";
import { parameters } from "./parameters.ts";
import type { SchemeInfo } from "./scheme.ts";
import { didYouMean } from "./suggest.ts";
import { list } from "./values.ts";

/** One problem of one route: thrown by what reads its URL, and caught there. */
export class Problem extends Error {}

export const fail = (message: string): never => {
  throw new Problem(message);
};

export function hostTemplate(text: string, what: string): string {
  const host = parseHostTemplate(text);
  return typeof host === "string" ? host : fail(`${what} ${host.problem}`);
}

export function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fail(`${what} holds a % that is no percent-encoding`);
  }
}

/** The parameters of a route's URL. */
export class Query {
  readonly #values = new Map<string, string[]>();

  constructor(text: string, info: SchemeInfo) {
    for (const pair of text === "" ? [] : text.split("&")) {
      const [rawKey = "", ...rest] = pair.split("=");
      const key = decode(rawKey, "a parameter's name");
      const parameter = Object.hasOwn(parameters, key) ? parameters[key] : undefined;
      // Not shown: it may be the end of a password that a ? stands in.
      if (!/^[\w-]+$/.test(key))
        fail("has a parameter whose name is none; a ? inside a user name or password is written %3F");
      if (parameter === undefined)
        fail(`unknown parameter ${key}=${didYouMean(key, Object.keys(parameters))}`);
      if (parameter?.terminatedOnly === true && !info.terminates) {
        fail(
          `${key}= makes no sense on a ${info.scheme} route: TLS passes through it, and the upstream authenticates`,
        );
      }
      if (parameter?.databaseOnly === true && !info.database)
        fail(`${key}= makes no sense on a ${info.scheme} route, which knows nothing of databases`);
      if (parameter?.httpOnly === true && !info.http)
        fail(`${key}= makes no sense on a ${info.scheme} route, which speaks no HTTP`);
      if (parameter?.onlyOn?.includes(info.scheme) === false)
        fail(
          `${key}= makes no sense on a ${info.scheme} route: it is for ${parameter.onlyOn.join(", ").replace(/, ([^,]*)$/, " and $1")}`,
        );
      const values = this.#values.get(key) ?? [];
      if (values.length > 0 && parameter?.many !== true) fail(`${key}= stands there twice`);
      const value = decode(rest.join("="), `${key}=`);
      if (value === "") fail(`${key}= is empty`);
      values.push(value);
      this.#values.set(key, values);
    }
  }

  all(key: string): string[] {
    return this.#values.get(key) ?? [];
  }

  items(key: string): string[] {
    const items = this.all(key).flatMap(list);
    return this.#values.has(key) && items.length === 0 ? fail(`${key}= is empty`) : items;
  }

  one(key: string): string | null {
    return this.all(key)[0] ?? null;
  }

  parse<T>(key: string, schema: z.ZodType<T, string>): T | null {
    const value = this.#values.has(key) ? this.all(key).join(",") : null;
    if (value === null) return null;
    const result = schema.safeParse(value);
    return result.success
      ? result.data
      : fail(`${key}=${result.error.issues[0]?.message ?? "is not understood"}`);
  }
}

/** A parameter that holds PEM or a path. */
export function secret<T>(query: Query, key: string, read: (text: string) => T): T | null {
  const value = query.one(key);
  if (value === null) return null;
  try {
    return read(value);
  } catch (error) {
    return fail(`${key}= ${error instanceof Error ? error.message : String(error)}`);
  }
}
