import { ConfigError } from "../errors.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The first one, as everybody who hands sockets on has it. */
const firstFd = 3;
const mostFds = 64;
const theOnePort = "SALLYPORT_LISTEN";

const wrong = (name: string, message: string): ConfigError => new ConfigError([{ name, message }]);

/**
 * The sockets that a service manager opened for this process (sd_listen_fds(3)): file descriptors by the variable whose
 * listener each is to be. A socket's name says that (`FileDescriptorName=`); one alone needs no name. Throws a
 * `ConfigError`.
 *
 * @param listeners the variables of all listeners that there are to be
 */
export function inheritedSockets(
  env: Environment,
  processId: number,
  listeners: readonly string[],
): ReadonlyMap<string, number> {
  const sockets = new Map<string, number>();
  const { LISTEN_PID: pid, LISTEN_FDS: fds = "", LISTEN_FDNAMES: nameList } = env;
  // They were for whoever started this process.
  if (pid !== String(processId)) return sockets;
  const count = /^\d{1,3}$/.test(fds) ? Number(fds) : 0;
  if (count < 1 || count > mostFds)
    throw wrong("LISTEN_FDS", `${JSON.stringify(fds)}: expected a number of sockets from 1 to ${mostFds}`);
  const names = nameList === undefined ? Array.from({ length: count }, () => "") : nameList.split(":");
  if (names.length !== count)
    throw wrong("LISTEN_FDNAMES", `${names.length} names for ${count} sockets: expected one for each`);
  const [only = ""] = names;
  if (count === 1 && !listeners.includes(only)) return sockets.set(theOnePort, firstFd);
  for (const [i, name] of names.entries()) {
    if (!listeners.includes(name)) {
      const expected = `expected one of ${listeners.join(", ")}, as the socket's FileDescriptorName=`;
      throw wrong("LISTEN_FDNAMES", `${JSON.stringify(name)} is no listener of this router: ${expected}`);
    }
    if (sockets.has(name))
      throw wrong("LISTEN_FDNAMES", `${name} stands there twice: expected one socket for each listener`);
    sockets.set(name, firstFd + i);
  }
  return sockets;
}
