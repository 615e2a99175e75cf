import { createConnect } from "../routes/connect.ts";
import type { Config } from "./config/load.ts";
import type { AdmissionControl } from "./core/admission.ts";
import type { Router } from "./core/router.ts";
import { ConfigError, cannotListen } from "./errors.ts";
import type { Log } from "./observe/log.ts";
import type { Connection, Endpoint, ListenAddress, Listener, Runtime, SharedAddress } from "./types.ts";
import { servePlainFront } from "./websocket/plain-front.ts";
import type { Tunnels } from "./websocket/tunnels.ts";

/** Where to listen for whom a variable asks. */
export type Place = (variable: string, asked: Endpointed) => ListenAddress | SharedAddress;

/**
 * The places of a router of one process.
 *
 * @param reusePort whether another router may be there too
 * @param sockets those that were opened for it, by variable
 */
export const placesOf =
  (reusePort: boolean, sockets: ReadonlyMap<string, number>): Place =>
  (variable, asked) => {
    const fd = sockets.get(variable);
    if (fd !== undefined) return { fd };
    return reusePort ? { ...asked, shared: true } : asked;
  };

interface FrontParts {
  readonly runtime: Runtime;
  readonly router: Router;
  readonly admission: AdmissionControl;
  readonly tunnels: Tunnels;
  readonly place: Place;
  /** Why no more should come; `null` while they may. */
  readonly unready: () => string | null;
  readonly log: Log;
}

/** Every listener of a router: where its connections come in. */
export class Front {
  readonly #parts: FrontParts;
  readonly #listeners = new Map<string, Listener>();

  constructor(parts: FrontParts) {
    this.#parts = parts;
  }

  /** Of every listener, by the variable that asks for it. */
  get addresses(): Readonly<Record<string, Endpoint>> {
    return Object.fromEntries([...this.#listeners].map(([variable, { address }]) => [variable, address]));
  }

  /** Throws a `ConfigError` that names the variable where the address can't be had. */
  async listen(
    variable: string,
    { host, port }: Endpointed,
    accept: (connection: Connection, listener: string) => void,
    mayCome: (remote: Endpoint, listener: string) => boolean = () => true,
  ): Promise<Endpoint> {
    const { runtime, place, log } = this.#parts;
    let where: string | undefined;
    // Known once it listens, which is before anybody comes; the same for all who do.
    const listenerText = (): string => {
      where ??= text(listener.address);
      return where;
    };
    let listener: Listener;
    try {
      listener = await runtime.listen(place(variable, { host, port }), {
        mayCome: (remote) => mayCome(remote, listenerText()),
        connection: (connection) => accept(connection, listenerText()),
        acceptFailed: (error) => log.warn("accepting failed; backing off", { error: error.message }),
      });
      this.#listeners.set(variable, listener);
      return listener.address;
    } catch (error) {
      throw new ConfigError([{ name: variable, message: cannotListen(`${host}:${port}`, error) }]);
    }
  }

  /** The one port, a protocol's or a route's own beside it, and the balancers' in the clear. Gives the one port. */
  async open(config: Config): Promise<Endpoint> {
    const { router } = this.#parts;
    const { host } = config.listen;
    const mayCome = (remote: Endpoint, listener: string): boolean => router.mayCome(remote, listener);
    const whole = { own: null, only: null, tunnelled: false };
    const address = await this.listen(
      "SALLYPORT_LISTEN",
      config.listen,
      (connection, listener) => {
        void router.accept(connection, { ...whole, listener });
      },
      mayCome,
    );
    for (const { adapter, variable, port } of config.separate) {
      await this.listen(
        variable,
        { host, port },
        (connection, listener) => {
          void router.accept(connection, { ...whole, only: adapter, listener });
        },
        mayCome,
      );
    }
    for (const { port, variable, name } of config.table.routes) {
      if (port === null) continue;
      await this.listen(
        variable,
        { host, port },
        (connection, listener) => {
          void router.accept(connection, { ...whole, own: router.routeNamed(name), listener });
        },
        mayCome,
      );
    }
    if (config.connect !== null) await this.#openPlain(config.connect, config.idleMs);
    return address;
  }

  async #openPlain(at: Endpointed, idleMs: number): Promise<void> {
    const { runtime, router, admission, tunnels, unready } = this.#parts;
    const app = createConnect();
    app.get("/healthz", (c) => {
      const why = unready();
      return why === null ? c.text("ok\n") : c.text(`${why}\n`, 503);
    });
    const serving = { runtime, admission, tunnels, app, idleMs, draining: router.draining };
    await this.listen("SALLYPORT_CONNECT_LISTEN", at, (connection, listener) => {
      void servePlainFront(connection, listener, serving);
    });
  }

  /** No new connections: of all listeners, or of those alone that certain variables ask for. */
  async close(which: (variable: string) => boolean = () => true): Promise<void> {
    const going = [...this.#listeners].filter(([variable]) => which(variable));
    for (const [variable] of going) this.#listeners.delete(variable);
    await Promise.all(going.map(([, listener]) => listener.close()));
  }
}

interface Endpointed {
  readonly host: string;
  readonly port: number;
}

const text = ({ address, port }: Endpoint): string =>
  `${address.includes(":") ? `[${address}]` : address}:${port}`;
