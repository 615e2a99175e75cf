import type { Config } from "../config/load.ts";

/** Every listener that a configuration asks for, the admin's aside, by the variable that does. */
export function listenersOf(
  config: Config,
): readonly { readonly variable: string; readonly host: string; readonly port: number }[] {
  const { host } = config.listen;
  return [
    { variable: "SALLYPORT_LISTEN", ...config.listen },
    ...config.separate.map(({ variable, port }) => ({ variable, host, port })),
    ...config.table.routes.flatMap(({ variable, port }) => (port === null ? [] : [{ variable, host, port }])),
    ...(config.connect === null ? [] : [{ variable: "SALLYPORT_CONNECT_LISTEN", ...config.connect }]),
  ];
}
