import type { Field } from "./head.ts";

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// RFC 9110 §5.5; above ASCII as it came.
const value = /^[\t\x20-\x7e\x80-\xff]*$/;
const targetForm = /^[\x21-\x7e\x80-\xff]+$/;

/** The first line of a request. Throws where it would be another one. */
export function requestLine(method: string, target: string): string {
  if (!token.test(method)) throw new TypeError("a method that is no token");
  if (!targetForm.test(target)) throw new TypeError("a target with blanks or control characters");
  return `${method} ${target} HTTP/1.1`;
}

/**
 * A message's head, one character a byte. Nothing that stands in a name or a value makes another field of it: throws a
 * `TypeError` where it would.
 *
 * @param startLine a request or status line
 */
export function headText(startLine: string, fields: readonly Field[]): string {
  if (!value.test(startLine)) throw new TypeError("a control character in the first line");
  let text = `${startLine}\r\n`;
  // Looked at all at once, which costs less than each by itself.
  let names = "n";
  let values = "";
  for (const [name, content] of fields) {
    if (name === "") throw new TypeError("a field without a name");
    names += name;
    values += content;
    text += `${name}: ${content}\r\n`;
  }
  if (!token.test(names)) throw new TypeError("a field name that is no token");
  if (!value.test(values)) throw new TypeError("a control character in a field");
  return `${text}\r\n`;
}
