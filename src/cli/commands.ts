import type { Command } from "./command.ts";

interface ListedCommand {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Its own modules, and no others: ssh starts `proxy ssh` for every connection, and should not wait for what `serve` needs. */
  load(): Promise<Command>;
}

/** What users may ask for. */
export const commands: readonly ListedCommand[] = [
  {
    name: "serve",
    summary: "run the router from the environment",
    load: async () => (await import("./serve.ts")).serve,
  },
  {
    name: "demo",
    summary: "everything in one process on loopback, with commands to try",
    load: async () => (await import("./demo.ts")).demo,
  },
  {
    name: "check",
    summary: "validate the environment, print the routing table",
    load: async () => (await import("./check.ts")).check,
  },
  {
    name: "explain",
    summary: "say which route a connection takes, and why",
    load: async () => (await import("./explain.ts")).explain,
  },
  {
    name: "ca",
    summary: "an authority of your own: make it, and certificates from it",
    load: async () => (await import("./ca.ts")).ca,
  },
  {
    name: "login",
    summary: "get a short-lived client certificate",
    load: async () => (await import("./login.ts")).login,
  },
  {
    name: "logout",
    summary: "drop the client certificate and its key",
    load: async () => (await import("./logout.ts")).logout,
  },
  {
    name: "status",
    summary: "show the client certificate: who, until when",
    load: async () => (await import("./status.ts")).status,
  },
  {
    name: "routes",
    summary: "list the routes you may use",
    load: async () => (await import("./routes.ts")).routes,
  },
  {
    name: "proxy",
    summary: "a local address for a route, for clients that know nothing of it",
    load: async () => (await import("./proxy.ts")).proxy,
  },
  {
    name: "connect",
    summary: "start psql, mysql, redis-cli, mongosh, ssh or kubectl on a route",
    load: async () => (await import("./connect.ts")).connect,
  },
  {
    name: "agent",
    summary: "publish services through the router, from where it can't dial",
    load: async () => (await import("./agent.ts")).agent,
  },
  {
    name: "config",
    summary: "set up ssh and kubectl",
    load: async () => (await import("./config.ts")).config,
  },
  {
    name: "top",
    summary: "show the connections that are open at a router on this machine",
    load: async () => (await import("./top.ts")).top,
  },
  {
    name: "audit",
    summary: "prove that an audit log is whole",
    load: async () => (await import("./audit.ts")).audit,
  },
];

/** Started by `serve` alone. */
export const worker: ListedCommand = {
  name: "worker",
  summary: "one of the processes of a router that has several",
  load: async () => (await import("./worker.ts")).worker,
};
