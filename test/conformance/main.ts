// `npm run conformance -- FILE`: a file of x509-limbo cases through the verifier.
import { readFileSync } from "node:fs";
import { agrees, judge, type Suite } from "./limbo.ts";

const usage = "usage: npm run conformance -- [--why] FILE   (FILE: cases as in x509-limbo's limbo.json)";

async function main(args: readonly string[]): Promise<number> {
  const why = args.includes("--why");
  const [file, ...rest] = args.filter((arg) => arg !== "--why");
  if (file === undefined || rest.length > 0 || file.startsWith("-")) {
    console.error(usage);
    return 2;
  }
  let suite: Suite;
  try {
    suite = JSON.parse(readFileSync(file, "utf8")) as Suite;
    if (!Array.isArray(suite.testcases)) throw new Error("it has no testcases");
  } catch (error) {
    console.error(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    return 2;
  }
  let failed = 0;
  for (const testcase of suite.testcases) {
    let verdict: string | null;
    let passed = false;
    try {
      verdict = await judge(testcase);
      passed = agrees(testcase, verdict);
    } catch (error) {
      verdict = error instanceof Error ? error.message : String(error);
    }
    if (passed) continue;
    failed++;
    console.log(
      why ? `${testcase.id}: expected ${testcase.expected_result}, ${verdict ?? "accepted"}` : testcase.id,
    );
  }
  console.log(`${suite.testcases.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
