import { resolve } from "node:path";
import { before, it } from "node:test";
import { pathToFileURL } from "node:url";

// For Node, which starts a process for each spec file otherwise, and Deno, which begins anew in the one that it has:
// both load everything once more there. Bun loads everything once by itself.
let loaded = (): void => {};
const all = new Promise<void>((done) => {
  loaded = done;
});
// What still loads keeps whoever runs already waiting.
before(() => all);

for (const path of JSON.parse(process.env.SALLYPORT_TEST_TOGETHER ?? "[]") as string[]) {
  try {
    await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    it(path, () => {
      throw error;
    });
  }
}
loaded();
