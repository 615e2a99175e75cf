/**
 * The known ways to make two parsers see different requests in the same bytes: what scanners try (defparam/smuggler,
 * PortSwigger's HTTP Request Smuggler), and what RFC 9112 §11.2 warns of.
 */

export interface Attempt {
  readonly what: string;
  readonly bytes: string;
}

/** What is to become a request of its own. */
export const hidden = "GET /hidden HTTP/1.1\r\nHost: app.test\r\nX: y\r\n\r\n";
const empty = "0\r\n\r\n";
const post = (fields: string, body: string): string =>
  `POST / HTTP/1.1\r\nHost: app.test\r\n${fields}\r\n\r\n${body}`;
const hex = (code: number): string => `\\x${code.toString(16).padStart(2, "0")}`;

/** One side goes by Content-Length, the other by a Transfer-Encoding that only it recognises. */
const disguises: readonly (readonly [what: string, field: string])[] = [
  ["as it should be", "Transfer-Encoding: chunked"],
  ["in capitals", "TRANSFER-ENCODING: CHUNKED"],
  ["no space", "Transfer-Encoding:chunked"],
  ["a space before the colon", "Transfer-Encoding : chunked"],
  ["a tab before the colon", "Transfer-Encoding\t: chunked"],
  ["a space before the name", " Transfer-Encoding: chunked"],
  ["a tab behind the colon", "Transfer-Encoding:\tchunked"],
  ["a space behind the value", "Transfer-Encoding: chunked "],
  ["folded", "Transfer-Encoding:\r\n chunked"],
  ["folded name", "Transfer-\r\n Encoding: chunked"],
  ["behind a fold", "X: y\r\n Transfer-Encoding: chunked"],
  ["behind a bare LF", "X: y\nTransfer-Encoding: chunked"],
  ["behind a bare CR", "X: y\rTransfer-Encoding: chunked"],
  ["ended by a bare LF", "Transfer-Encoding: chunked\nX: y"],
  ["a value before the line", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"],
  ["a value behind the line", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"],
  ["twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"],
  ["another first", "Transfer-Encoding: gzip, chunked"],
  ["another last", "Transfer-Encoding: chunked, gzip"],
  ["an empty one first", "Transfer-Encoding: ,chunked"],
  ["an empty line first", "Transfer-Encoding:\r\nTransfer-Encoding: chunked"],
  ["in quotes", 'Transfer-Encoding: "chunked"'],
  ["with a parameter", "Transfer-Encoding: chunked;q=1"],
  ["cow", "Transfer-Encoding: cow"],
  ["a prefix", "Transfer-Encoding: xchunked"],
  ["a suffix", "Transfer-Encoding: chunkedx"],
  ["half", "Transfer-Encoding: chunk"],
  ["a name's suffix", "Transfer-EncodingX: chunked"],
  ["an underscore", "Transfer_Encoding: chunked"],
  ["a long s", "Tran\u017ffer-Encoding: chunked"],
  ["hidden by Connection", "Connection: Content-Length\r\nTransfer-Encoding: chunked"],
];

const controls = [...Array(32).keys(), 0x7f, 0x80, 0xa0, 0xff].filter((code) => ![9, 10, 13].includes(code));

const withControls = controls.flatMap((code): (readonly [string, string])[] => {
  const c = String.fromCharCode(code);
  return [
    [`${hex(code)} before the name`, `${c}Transfer-Encoding: chunked`],
    [`${hex(code)} behind the name`, `Transfer-Encoding${c}: chunked`],
    [`${hex(code)} before the value`, `Transfer-Encoding:${c}chunked`],
    [`${hex(code)} behind the value`, `Transfer-Encoding: chunked${c}`],
    [`${hex(code)} instead of a line's end`, `X: y${c}Transfer-Encoding: chunked`],
  ];
});

const bothWays = [...disguises, ...withControls].flatMap(([what, field]): Attempt[] => {
  const body = empty + hidden;
  const chunk = `${hidden.length.toString(16)}\r\n${hidden}\r\n${empty}`;
  return [
    { what: `CL.TE, ${what}`, bytes: post(`Content-Length: ${body.length}\r\n${field}`, body) },
    { what: `TE.CL, ${what}`, bytes: post(`${field}\r\nContent-Length: 4`, chunk) },
  ];
});

const length = (fields: string, body = hidden): string => post(fields, body);
const n = hidden.length;

const lengths: readonly Attempt[] = [
  ["two that differ", `Content-Length: 0\r\nContent-Length: ${n}`],
  ["two that agree", `Content-Length: ${n}\r\nContent-Length: ${n}`],
  ["a list", `Content-Length: ${n}, ${n}`],
  ["a plus", `Content-Length: +${n}`],
  ["a minus", "Content-Length: -1"],
  ["hexadecimal", `Content-Length: 0x${n.toString(16)}`],
  ["a fraction", `Content-Length: ${n}.0`],
  ["an exponent", "Content-Length: 1e1"],
  ["an underscore in it", "Content-Length: 1_0"],
  ["spaces in it", "Content-Length: 1 0"],
  ["nothing", "Content-Length:"],
  ["words", "Content-Length: many"],
  ["more than any counter holds", "Content-Length: 99999999999999999999999"],
  ["2^64", "Content-Length: 18446744073709551616"],
  ["an underscore in its name", `Content_Length: ${n}\r\nContent-Length: 0`],
  ["a space before its colon", `Content-Length : ${n}`],
  ["folded", `Content-Length:\r\n ${n}`],
  ["other digits", "Content-Length: \xb2"],
].map(([what = "", fields = ""]) => ({ what: `a length: ${what}`, bytes: length(fields) }));

const sizes: readonly Attempt[] = [
  ["none", "\r\nabc\r\n0\r\n\r\n"],
  ["a prefix", "0x3\r\nabc\r\n0\r\n\r\n"],
  ["a plus", "+3\r\nabc\r\n0\r\n\r\n"],
  ["a minus", "-3\r\nabc\r\n0\r\n\r\n"],
  ["a space before", " 3\r\nabc\r\n0\r\n\r\n"],
  ["words", "three\r\nabc\r\n0\r\n\r\n"],
  ["more than any counter holds", `fffffffffffffffff\r\n${hidden}`],
  ["2^64 + 3", "10000000000000003\r\nabc\r\n0\r\n\r\n"],
  ["ended by a bare LF", `3\nabc\n0\n\n${hidden}`],
  ["ended by a bare CR", `3\rabc\r\n0\r\n\r\n${hidden}`],
  ["less than what follows", `3\r\nabcdef\r\n0\r\n\r\n${hidden}`],
  ["no end behind the data", `3\r\nabc0\r\n\r\n${hidden}`],
  ["a wrong end behind the data", `3\r\nabcXX0\r\n\r\n${hidden}`],
  ["a bare LF behind the data", `3\r\nabc\n0\r\n\r\n${hidden}`],
  ["an extension with a bare LF", `3;x\nabc\r\n0\r\n\r\n${hidden}`],
  ["an extension with a bare CR", `3;x\ry\r\nabc\r\n0\r\n\r\n${hidden}`],
].map(([what = "", body = ""]) => ({
  what: `a chunk's size: ${what}`,
  bytes: post("Transfer-Encoding: chunked", body),
}));

const heads: readonly Attempt[] = [
  ["bare LF throughout", `GET / HTTP/1.1\nHost: app.test\n\n${hidden}`],
  ["a bare LF behind the request line", `GET / HTTP/1.1\nHost: app.test\r\n\r\n${hidden}`],
  ["a bare CR in the request line", `GET /\r HTTP/1.1\r\nHost: app.test\r\n\r\n${hidden}`],
  ["a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: app.test\r\n\r\n"],
  ["two spaces in the request line", "GET /  HTTP/1.1\r\nHost: app.test\r\n\r\n"],
  ["a request in the target", "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n".replace("/ ", "/ HTTP/1.1\tx: ")],
  ["HTTP/0.9", "GET /hidden\r\n\r\n"],
  ["HTTP/1.1 in small letters", "GET / http/1.1\r\nHost: app.test\r\n\r\n"],
  ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: app.test\r\n\r\n"],
  ["HTTP/2.0", "GET / HTTP/2.0\r\nHost: app.test\r\n\r\n"],
  [
    "chunks in HTTP/1.0",
    `POST / HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n${empty}${hidden}`,
  ],
  ["no colon", "GET / HTTP/1.1\r\nHost: app.test\r\nX\r\n\r\n"],
  ["an empty name", "GET / HTTP/1.1\r\nHost: app.test\r\n: y\r\n\r\n"],
  ["a name in brackets", "GET / HTTP/1.1\r\nHost: app.test\r\n(X): y\r\n\r\n"],
  ["a fold before the first field", "GET / HTTP/1.1\r\n X: y\r\nHost: app.test\r\n\r\n"],
  ["a folded field", "GET / HTTP/1.1\r\nHost: app.test\r\nX: y\r\n z\r\n\r\n"],
  ["two hosts", "GET / HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n"],
  ["two hosts, one folded away", "GET / HTTP/1.1\r\nHost: app.test\r\n Host: other.test\r\n\r\n"],
  ["a list of hosts", "GET / HTTP/1.1\r\nHost: app.test, other.test\r\n\r\n"],
  ["a user in the host", "GET / HTTP/1.1\r\nHost: app.test@other.test\r\n\r\n"],
  ["a path in the host", "GET / HTTP/1.1\r\nHost: app.test/other\r\n\r\n"],
  ["a space in the host", "GET / HTTP/1.1\r\nHost: app.test other.test\r\n\r\n"],
  [
    "an underscore for the host",
    "GET / HTTP/1.1\r\nHost: app.test\r\nHos_t: x\r\n_Host: other.test\r\n: x\r\n\r\n",
  ],
  ["another absolute target", "GET https://other.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n"],
  ["an absolute target with a user", "GET https://app.test@other.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n"],
  ["another scheme", "GET ftp://app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n"],
  ["CONNECT", "CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\n\r\n"],
  ["CONNECT to elsewhere", "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: app.test\r\n\r\n"],
].map(([what = "", bytes = ""]) => ({ what: `a head: ${what}`, bytes }));

/** Every one of them is to be refused, or to reach the upstream as the one request that it is. */
export const attempts: readonly Attempt[] = [...bothWays, ...lengths, ...sizes, ...heads];

/** Those that must not reach the upstream at all: nothing in them can be read as one request. */
export const hopeless: ReadonlySet<string> = new Set(
  [...lengths, ...sizes, ...heads]
    .map(({ what }) => what)
    .filter((what) => what !== "a head: two spaces in the request line"),
);
