import { schemes } from "../../src/adapters/registry.ts";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { type Config, loadConfig } from "../../src/config/load.ts";
import type { Files } from "../../src/config/pem.ts";
import type { Route } from "../../src/core/route.ts";
import { ConfigError, type ConfigProblem } from "../../src/errors.ts";
import { files as disk } from "../../src/runtime/files.ts";

export const hourMs = 3_600_000;
const files = await createAuthority("Test authority");
export const authority = await Authority.open(files);
/** The authority's certificate, PEM. */
export const ca = files.cert;
/** For `*.example.com` and `localhost`. */
export const server = await authority.server(["*.example.com", "localhost"], hourMs);

/** A disk of these files alone; what a certificate says is read by the runtime. */
export const folder = (contents: Readonly<Record<string, string>>): Files => ({
  ...disk,
  read: (path) => {
    const text = Object.hasOwn(contents, path) ? contents[path] : undefined;
    if (text === undefined)
      throw Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: "ENOENT" });
    return text;
  },
  readBytes: (path) => {
    const text = Object.hasOwn(contents, path) ? contents[path] : undefined;
    if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    return Buffer.from(text, "latin1");
  },
  isFolder: (path) => Object.keys(contents).some((name) => name.startsWith(`${path}/`)),
  stamp: (path) => (Object.hasOwn(contents, path) ? path : null),
  list: (path) =>
    Object.keys(contents)
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1)),
});

export type Variables = Readonly<Record<string, string>>;

/** An environment that is sound but for what the test adds. */
export const base: Variables = {
  SALLYPORT_CERT: server.cert,
  SALLYPORT_KEY: server.key,
  SALLYPORT_CLIENT_CA: ca,
};

export const load = (variables: Variables, on: Files = folder({})): Config =>
  loadConfig({ ...base, ...variables }, schemes, on);

/** What is wrong with an environment; empty when nothing is. */
export function problems(variables: Variables, on: Files = folder({})): readonly ConfigProblem[] {
  try {
    load(variables, on);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

/** The route that this URL makes, as SALLYPORT_ROUTE_R. */
export function routeOf(url: string, variables: Variables = {}, on?: Files): Route {
  const route = load({ ...variables, SALLYPORT_ROUTE_R: url }, on).table.routes.find(
    ({ name }) => name === "r",
  );
  if (route === undefined) throw new Error("there is no such route");
  return route;
}

/** All that is wrong with this URL as SALLYPORT_ROUTE_R, a line each, `VARIABLE: message`. */
export const wrong = (url: string, variables: Variables = {}, on?: Files): string =>
  problems({ ...variables, SALLYPORT_ROUTE_R: url }, on)
    .map(({ name, message }) => `${name}: ${message}`)
    .join("\n");
