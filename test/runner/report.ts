/** What became of one test. */
export interface Case {
  /** Suites and test, joined by ` > `. */
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped, where the report says so: only Node's does. */
  readonly reason: string;
  /** What the report says of a failure: its message and its stack, each runtime's in its own way. */
  readonly failure: string;
}

// Node leaves `>` as it is inside attributes, so the end of a tag is the first one outside quotes.
const tag = /<(\/?)(testsuite|testcase|failure|error|skipped)\b((?:[^">]|"[^"]*")*?)(\/?)>/g;

/** `&amp;` first: Node 20 escapes a quotation mark twice. */
const unescaped = (text: string): string =>
  text
    .replaceAll("&amp;", "&")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&#10;", "\n");

/** XML has no place for control characters: Node leaves them as they are, Deno writes `\x80`. */
const plain = (text: string): string => unescaped(text).replace(/\\x[0-9a-f]{2}|\p{Cc}/giu, "");

const attribute = (attributes: string, name: string): string =>
  plain(new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");

/** The tests in a JUnit report as Node, Deno and Bun write them. */
export function readReport(xml: string): readonly Case[] {
  const cases: { name: string; outcome: Case["outcome"]; reason: string; failure: string }[] = [];
  const suites: string[] = [];
  const texts: string[] = [];
  // What a test printed stands in its failure's text, and could look like a tag.
  const source = xml.replace(
    /(<(failure|error)\b(?:[^">/]|\/(?!>)|"[^"]*")*>)([\s\S]*?)(<\/\2>)/g,
    (_, open: string, _name: string, text: string, close: string) => {
      texts.push(unescaped(text));
      return `${open}${close}`;
    },
  );
  for (const [, closing, element, attributes = "", empty] of source.matchAll(tag)) {
    if (element === "testsuite") {
      if (closing === "/") suites.pop();
      // Bun's and Deno's outermost suites are files.
      else if (empty !== "/") {
        const name = attribute(attributes, "name");
        const file = name === attribute(attributes, "file") || /^(\.\/|ext:|file:)/.test(name);
        suites.push(file ? "" : name);
      }
      continue;
    }
    if (closing === "/") continue;
    if (element === "testcase") {
      const name = [...suites, attribute(attributes, "name")].filter((part) => part !== "").join(" > ");
      cases.push({ name, outcome: "passed", reason: "", failure: "" });
      continue;
    }
    const last = cases.at(-1);
    const failure = element === "skipped" ? "" : ((empty === "/" ? undefined : texts.shift()) ?? "");
    if (last === undefined) continue;
    last.failure ||= failure;
    last.outcome = element === "skipped" ? "skipped" : "failed";
    if (element === "skipped") last.reason = attribute(attributes, "message");
  }
  return withoutSuites(cases);
}

/** Deno reports a suite as a test too; it stays only where it failed by itself, in a hook. */
function withoutSuites(cases: readonly Case[]): readonly Case[] {
  return cases.filter((suite) => {
    const start = `${suite.name} > `;
    const children = cases.filter(({ name }) => name.startsWith(start));
    if (children.length === 0) return true;
    return suite.outcome === "failed" && children.every(({ outcome }) => outcome !== "failed");
  });
}

/**
 * Makes every report name the same tests. Bun leaves a skipped suite out of its report, and any runtime a file
 * that it could not load: what another runtime skipped counts as skipped, all else that is missing as failed.
 * The reason of a skip comes from whichever report has it.
 */
export function complete(reports: ReadonlyMap<string, readonly Case[]>): Map<string, readonly Case[]> {
  const known = new Map<string, Case>();
  for (const found of [...reports.values()].flat()) {
    const before = known.get(found.name);
    if (before === undefined || (before.reason === "" && found.reason !== "")) known.set(found.name, found);
  }
  return new Map(
    [...reports].map(([runtime, cases]) => {
      const names = new Set(cases.map(({ name }) => name));
      const absent = [...known.values()].filter(({ name }) => {
        if (names.has(name)) return false;
        // Inside a suite that this runtime skipped as a whole, or a suite of tests that it did run.
        const inside = [...names].some((other) => name.startsWith(`${other} > `));
        const around = [...names].some((other) => other.startsWith(`${name} > `));
        return !inside && !around;
      });
      return [
        runtime,
        [
          ...cases.map((each) =>
            each.outcome === "skipped" ? { ...each, reason: known.get(each.name)?.reason ?? "" } : each,
          ),
          ...absent.map(
            (each): Case =>
              each.outcome === "skipped"
                ? each
                : { name: each.name, outcome: "failed", reason: "it did not run", failure: "" },
          ),
        ],
      ];
    }),
  );
}
