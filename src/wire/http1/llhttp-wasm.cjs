/**
 * The parser's code, by way of a CommonJS module for Bun's sake: what such a module exports it looks through for names to
 * import, and undici's exports the bytes themselves. A start took 45 ms longer by 54,000 names that nobody asks for.
 */
exports.code = require("undici/lib/llhttp/llhttp_simd-wasm.js");
