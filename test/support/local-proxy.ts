import { type ChildProcess, spawn } from "node:child_process";
import { atEnd } from "./at-end.ts";
import { environment, type Site, sallyport } from "./router.ts";
import { type Finished, run } from "./run.ts";

/** Whose certificate, through which router, on which runtime. */
export interface ClientOptions {
  /** The router's address, where it is not the router itself that is asked (a balancer). */
  readonly router: string;
  /** The certificate of that name in the site; `null`: the profile's. */
  readonly as?: string | null;
  readonly env?: Readonly<Record<string, string>>;
  readonly on?: readonly [string, ...string[]];
}

const variables = (site: Site, { router, as = "alice", env = {} }: ClientOptions): NodeJS.ProcessEnv =>
  environment({
    XDG_CONFIG_HOME: `${site.folder}/config`,
    SALLYPORT_ROUTER: router,
    SALLYPORT_CA: `${site.folder}/ca.crt`,
    ...(as === null
      ? {}
      : {
          SALLYPORT_CLIENT_CERT: `${site.folder}/${as}.crt`,
          SALLYPORT_CLIENT_KEY: `${site.folder}/${as}.key`,
        }),
    ...env,
  });

/** Runs a client command to its end. */
export function client(
  site: Site,
  options: ClientOptions,
  args: readonly string[],
  more: { readonly input?: readonly string[]; readonly ms?: number } = {},
): Promise<Finished> {
  const [command, ...first] = options.on ?? sallyport;
  return run(command, [...first, ...args], { env: variables(site, options), ms: 60_000, ...more });
}

export interface TestProxy {
  readonly port: number;
  readonly unix: string | null;
  readonly kubeconfig: string | null;
  readonly process: ChildProcess;
  /** What it has said on standard error. */
  readonly said: () => string;
  until(words: RegExp): Promise<void>;
  stop(): Promise<number | null>;
}

/** Starts `proxy` on the runtime under test, or another. */
export async function startProxy(
  site: Site,
  options: ClientOptions,
  args: readonly string[],
): Promise<TestProxy> {
  const [command, ...first] = options.on ?? sallyport;
  const child = spawn(command, [...first, "proxy", ...args, "--json"], {
    env: variables(site, options),
    stdio: ["ignore", "pipe", "pipe"],
  });
  atEnd(() => child.kill("SIGKILL"));
  let said = "";
  let out = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const ready = await new Promise<{ port: number; unix: string | null; kubeconfig: string | null }>(
    (resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`the proxy did not start: ${said}`));
      }, 60_000);
      child.stdout.on("data", (chunk) => {
        out += chunk;
        if (!out.includes("\n")) return;
        clearTimeout(late);
        resolve(JSON.parse(out));
      });
      child.once("exit", (status) => {
        clearTimeout(late);
        reject(new Error(`the proxy ended with ${status}: ${said}`));
      });
    },
  );
  return {
    ...ready,
    process: child,
    said: () => said,
    until: async (words) => {
      for (let i = 0; i < 2400 && !words.test(said); i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
      if (!words.test(said)) throw new Error(`it never said ${words}: ${said}`);
    },
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve(child.exitCode);
        const late = setTimeout(() => child.kill("SIGKILL"), 60_000);
        child.once("exit", (status) => {
          clearTimeout(late);
          resolve(status);
        });
        child.kill("SIGTERM");
      }),
  };
}

export interface TestAgent {
  readonly process: ChildProcess;
  readonly said: () => string;
  until(words: RegExp, from?: number): Promise<void>;
  stop(): Promise<number | null>;
}

/** Starts `agent` on the runtime under test, or another; resolves once it has said where it publishes, unless told. */
export async function startAgent(
  site: Site,
  options: ClientOptions & { readonly ready?: RegExp },
  args: readonly string[],
): Promise<TestAgent> {
  const [command, ...first] = options.on ?? sallyport;
  const child = spawn(command, [...first, "agent", ...args], {
    env: variables(site, options),
    stdio: ["ignore", "ignore", "pipe"],
  });
  atEnd(() => child.kill("SIGKILL"));
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const agent: TestAgent = {
    process: child,
    said: () => said,
    until: async (words, from = 0) => {
      for (let i = 0; i < 2400 && !words.test(said.slice(from)); i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
      if (!words.test(said.slice(from))) throw new Error(`it never said ${words}: ${said}`);
    },
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve(child.exitCode);
        const late = setTimeout(() => child.kill("SIGKILL"), 60_000);
        child.once("exit", (status) => {
          clearTimeout(late);
          resolve(status);
        });
        // Deno's own way would have us believe that the signal ended it, whatever its status.
        if (child.pid !== undefined) process.kill(child.pid, "SIGTERM");
      }),
  };
  await agent.until(options.ready ?? / publishes /);
  return agent;
}
