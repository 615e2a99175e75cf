import type { Limits } from "../authority/authority.ts";
import { cidrs, list } from "../config/values.ts";
import { UsageError } from "./command.ts";

/** What --source and --route limit a certificate to. */
export function limitsOf(sources: readonly string[], routes: readonly string[]): Limits {
  const networks = sources.flatMap(list);
  for (const source of networks) {
    const read = cidrs.safeParse(source);
    if (!read.success) throw new UsageError(`--source ${read.error.issues[0]?.message}`);
  }
  for (const route of routes) {
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(route))
      throw new UsageError(
        `--route ${JSON.stringify(route)} is no route's name: expected one such as orders`,
      );
  }
  return {
    ...(networks.length === 0 ? {} : { sources: networks }),
    ...(routes.length === 0 ? {} : { routes: [...routes] }),
  };
}
