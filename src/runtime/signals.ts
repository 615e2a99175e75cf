/** Calls `handler` for each of these signals, until the process ends. */
export function onSignals(names: readonly ("SIGTERM" | "SIGINT" | "SIGHUP")[], handler: () => void): void {
  for (const name of names) process.on(name, handler);
}
