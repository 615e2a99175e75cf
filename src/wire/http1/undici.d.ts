declare module "undici/lib/llhttp/llhttp_simd-wasm.js" {
  const wasm: Uint8Array<ArrayBuffer>;
  export = wasm;
}
