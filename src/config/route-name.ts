import { routePrefix } from "./variables.ts";

export const expectedRouteName =
  "expected a name of capitals, digits and single underscores after SALLYPORT_ROUTE_";

/** The route's name that a variable's name says; `null` where it is none. */
export function routeName(variable: string): string | null {
  const suffix = variable.slice(routePrefix.length);
  return /^[A-Z0-9]+(_[A-Z0-9]+)*$/.test(suffix) ? suffix.toLowerCase().replaceAll("_", "-") : null;
}
