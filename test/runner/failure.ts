const longest = 200;
const ofMessage = 11;
const ofStack = 3;

/** Where the runtimes' own test runners stand in a stack. */
const runners =
  /\((?:node|ext):|at (?:async )?(?:node|ext):|at (?:async )?(?:executeTestNode|Promise\.all|new Promise)\b|<anonymous>\)$/;
const frame = /^\s+at /;

/** Node wraps what a test threw into an error of its own, with the same message. */
function thrown(text: string): string {
  const cause = /failureType: '\w+',\s+cause: ([\s\S]*?)\s*\}\s*$/.exec(text)?.[1];
  return cause === undefined ? text : cause.replaceAll("\n  ", "\n");
}

/** Of a long message its first lines; of a long difference what differs. */
function shortened(message: readonly string[]): readonly string[] {
  if (message.length <= ofMessage) return message;
  const head = message.slice(0, 2);
  const differs = message.slice(2).filter((line) => /^[+-]/.test(line));
  const rest = differs.length > 0 ? differs : message.slice(2);
  return [...head, ...rest.slice(0, ofMessage - 3), "…"];
}

/**
 * What matters of a failure's text in a report, 15 lines at most: the message with the difference between what was
 * and what was expected, where in the spec it came from, and the error behind it.
 */
export function gist(text: string): readonly string[] {
  const lines = thrown(text)
    .split("\n")
    .filter((line) => line.trim() !== "");
  const end = lines.findIndex((line) => frame.test(line));
  const message = end < 0 ? lines : lines.slice(0, end);
  const after = end < 0 ? [] : lines.slice(end);
  const behind = after.find(
    (line) => !frame.test(line) && /^\s*(?:\[cause\]|Caused by|\w*Error)(?: \[\w+\])?: /.test(line),
  );
  return [
    ...shortened(message),
    ...after.filter((line) => frame.test(line) && !runners.test(line)).slice(0, ofStack),
    ...(behind === undefined ? [] : [behind]),
  ].map((line) => (line.length > longest ? `${line.slice(0, longest)}…` : line));
}
