export const expectedRouteName =
  "expected a name of capitals, digits and single underscores after SALLYPORT_ROUTE_";

/** The route's name that the end of a variable's name says; `null` where it is none. */
export const routeName = (suffix: string): string | null =>
  /^[A-Z0-9]+(_[A-Z0-9]+)*$/.test(suffix) ? suffix.toLowerCase().replaceAll("_", "-") : null;
