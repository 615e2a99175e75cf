import type { Route } from "../core/route.ts";
import type { ConfigProblem } from "../errors.ts";
import type { SchemeInfo } from "./scheme.ts";
import type { Values } from "./variables.ts";

/** A listener for the routes of one adapter alone. */
export interface SeparateListener {
  readonly adapter: string;
  /** The variable that moves it, for messages. */
  readonly variable: string;
  readonly port: number;
}

/** Agents have a listener as protocols do. */
const tunnels = { scheme: "tunnel", adapter: "tunnel", separatePort: 3024 } as const;

/** The listeners beside the one port: one for every protocol that has a route with a name. */
export function separateListeners(
  values: Values,
  schemes: readonly SchemeInfo[],
  routes: readonly Route[],
  problems: ConfigProblem[],
  warnings: string[],
): readonly SeparateListener[] {
  const separate = values.SALLYPORT_LISTENER_MODE === "separate";
  const ports: Readonly<Record<string, unknown>> = values;
  return [...schemes, tunnels].flatMap(({ scheme, adapter, separatePort }) => {
    if (separatePort === null) return [];
    const variable = `SALLYPORT_PORT_${scheme.toUpperCase()}`;
    const given = ports[variable];
    if (!separate && typeof given === "number")
      problems.push({ name: variable, message: "is for SALLYPORT_LISTENER_MODE=separate" });
    const served = routes.some((route) => route.adapter === adapter && route.names.length > 0);
    if (separate && !served && typeof given === "number")
      warnings.push(`${variable} is set, and there is no ${scheme} route with a name: nothing listens there`);
    if (!separate || !served) return [];
    return [{ adapter, variable, port: typeof given === "number" ? given : separatePort }];
  });
}
