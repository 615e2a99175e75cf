import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse } from "yaml";
import { mergeKubeconfig, mergeKubeconfigs, withEntries } from "../../src/cli/config/kubeconfig.ts";

const entries = {
  name: "sallyport-prod",
  cluster: { server: "https://gate" },
  user: { exec: {} },
  use: "if none",
} as const;

interface Kubeconfig {
  readonly "current-context": string;
  readonly clusters: readonly { readonly name: string; readonly cluster: { readonly server: string } }[];
  readonly users: readonly { readonly name: string }[];
  readonly contexts: readonly { readonly name: string }[];
}
const read = (text: string): Kubeconfig => parse(text) as Kubeconfig;

describe("entries in a kubeconfig", () => {
  it("make one where there is none", () => {
    const made = read(withEntries("", entries));
    assert.deepEqual(
      [made.clusters, made.users, made.contexts].map(([one]) => one?.name),
      ["sallyport-prod", "sallyport-prod", "sallyport-prod"],
    );
    assert.equal(made["current-context"], "sallyport-prod");
  });

  it("leave everything else, comments too", () => {
    const before = `# mine
apiVersion: v1
kind: Config
clusters:
  # the old one
  - name: old
    cluster: { server: https://old }
users: []
contexts:
  - name: old
    context: { cluster: old, user: old }
current-context: old
preferences: {}
`;
    const after = withEntries(before, entries);
    assert.match(after, /^# mine\n/);
    assert.match(after, /# the old one\n/);
    const made = read(after);
    assert.deepEqual(
      made.clusters.map(({ name }) => name),
      ["old", "sallyport-prod"],
    );
    assert.equal(made["current-context"], "old");
    assert.equal(
      read(withEntries(before, { ...entries, use: "always" }))["current-context"],
      "sallyport-prod",
    );
  });

  it("take the place of their namesakes, and are the same the second time", () => {
    const once = withEntries("", entries);
    assert.equal(withEntries(once, entries), once);
    const moved = read(withEntries(once, { ...entries, cluster: { server: "https://moved" } }));
    assert.deepEqual(
      moved.clusters.map(({ cluster }) => cluster.server),
      ["https://moved"],
    );
  });

  it("go into JSON, which is YAML", () => {
    const json = JSON.stringify({ apiVersion: "v1", kind: "Config", clusters: [], users: null });
    assert.equal(read(withEntries(json, entries)).clusters.length, 1);
  });

  it("do not touch what is no kubeconfig", () => {
    assert.throws(() => withEntries("a: [1", entries), /no YAML/);
    assert.throws(() => withEntries("- a\n- b\n", entries), /no kubeconfig/);
    assert.throws(() => withEntries("kind: Pod\n", entries), /no kubeconfig/);
  });
});

describe("the kubeconfig's file", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "sallyport-kube-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("is its owner's alone, and stays behind a link", () => {
    const real = join(folder, "real");
    const link = join(folder, "link");
    writeFileSync(real, "apiVersion: v1\nkind: Config\n", { mode: 0o644 });
    symlinkSync(real, link);
    mergeKubeconfig(link, entries);
    assert.equal(read(readFileSync(real, "utf8")).clusters.length, 1);
    assert.equal(statSync(real).mode & 0o777, 0o600);
    assert.ok(!existsSync(`${link}.lock`));
  });

  it("is one of several as kubectl would choose it, and takes nothing from the others", () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => join(folder, `several-${name}`)) as [
      string,
      string,
      string,
    ];
    const all = { ...entries, use: false };
    assert.equal(mergeKubeconfigs([a, b], all), b, "none is there: the last");
    rmSync(b);
    writeFileSync(b, "kind: Config\n");
    writeFileSync(c, "kind: Config\ncurrent-context: production\n");
    assert.equal(mergeKubeconfigs([a, b, c], all), b, "the first that is there");
    assert.equal(
      read(readFileSync(b, "utf8"))["current-context"],
      undefined,
      "production stays the current one",
    );
    assert.equal(mergeKubeconfigs([c, b], all), b, "where it is already");
    mergeKubeconfigs([c, b], { ...entries, use: true });
    assert.equal(read(readFileSync(c, "utf8"))["current-context"], entries.name, "the one that decides");
    assert.equal(read(readFileSync(b, "utf8"))["current-context"], undefined);
  });

  it("is left alone while kubectl holds its lock, and where it can't be read", () => {
    const path = join(folder, "config");
    writeFileSync(`${path}.lock`, "");
    assert.throws(() => mergeKubeconfig(path, entries), /config\.lock is there/);
    assert.ok(!existsSync(path));
    rmSync(`${path}.lock`);
    writeFileSync(path, "kind: Pod\n");
    assert.throws(() => mergeKubeconfig(path, entries), /left as it is: it is no kubeconfig/);
    assert.equal(readFileSync(path, "utf8"), "kind: Pod\n");
    assert.ok(!existsSync(`${path}.lock`));
  });
});
