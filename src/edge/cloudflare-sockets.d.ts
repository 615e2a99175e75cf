/** What Workers have of TCP (https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/). */
declare module "cloudflare:sockets" {
  export function connect(
    address: { readonly hostname: string; readonly port: number },
    options: { readonly allowHalfOpen: boolean; readonly secureTransport: "off" },
  ): {
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
    readonly opened: Promise<unknown>;
    close(): Promise<void>;
  };
}
