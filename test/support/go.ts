import { spawnSync } from "node:child_process";

/** `false`, or why tests that compare with Go are skipped. */
export const skipWithoutGo: false | string =
  spawnSync("go", ["version"]).status === 0 ? false : "go is not installed";

export interface GoQuestion {
  readonly roots: readonly Uint8Array[];
  readonly intermediates: readonly Uint8Array[];
  readonly leaf: Uint8Array;
  /** A revocation list that the leaf's issuer is to have signed, DER. */
  readonly crl?: Uint8Array;
}

const base64 = (der: Uint8Array): string => Buffer.from(der).toString("base64");

/** What Go's crypto/x509 thinks of client certificates: words for each that it refuses, `null` for the others. */
export function goVerdicts(questions: readonly GoQuestion[]): (string | null)[] {
  const input = questions.map(({ roots, intermediates, leaf, crl }) => ({
    roots: roots.map(base64),
    intermediates: intermediates.map(base64),
    leaf: base64(leaf),
    crl: crl === undefined ? "" : base64(crl),
  }));
  const { status, stdout, stderr } = spawnSync("go", ["run", "test/go/verify.go"], {
    input: JSON.stringify(input),
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    env: { HOME: "/tmp", ...process.env, GO111MODULE: "off" },
  });
  if (status !== 0) throw new Error(`go: ${stderr}`);
  return (JSON.parse(stdout) as string[]).map((text) => (text === "" ? null : text));
}
