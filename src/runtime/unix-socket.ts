import { chmodSync, lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });

/** Removes a Unix socket that nobody listens on any more. Rejects where something else is in its place. */
export async function clearSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${path} is there already, and no socket`);
  if (await answers(path)) throw new Error(`${path} is in use: somebody listens there`);
  rmSync(path, { force: true });
}

/** Its owner's alone: whoever may write to a socket may connect to it. */
export const ownSocket = (path: string): void => chmodSync(path, 0o600);

export const removeSocket = (path: string): void => rmSync(path, { force: true });
