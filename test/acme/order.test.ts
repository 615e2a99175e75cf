import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Account } from "../../src/acme/client.ts";
import { CertificateOrder } from "../../src/acme/order.ts";
import { AcmeProblem } from "../../src/acme/problem.ts";
import type { AcmeStore } from "../../src/acme/store.ts";

/** An authority that asks for a validation by this token. */
const asking = (token: string): Account => {
  const challenge = { type: "http-01", url: "https://acme.test/1", status: "pending", token };
  const client = {
    createOrder: async () => ({ status: "pending" }),
    getAuthorizations: async () => [
      { status: "pending", url: "https://acme.test/2", challenges: [challenge] },
    ],
    getChallengeKeyAuthorization: async () => `${token}.thumbprint`,
    completeChallenge: () => Promise.reject(new Error("asked to look")),
  };
  return { client, library: {} } as unknown as Account;
};

describe("an order", () => {
  it("publishes tokens alone, and nothing that would be another file's name", async () => {
    const published: string[] = [];
    const store = {
      publish: (_kind: string, key: string) => void published.push(key),
      withdraw: () => {},
    } as unknown as AcmeStore;
    const order = (token: string): Promise<string> =>
      new CertificateOrder(asking(token), "http-01", store, new AbortController().signal).certificateFor(
        "a.test",
      );
    for (const token of ["../../account.key", "..", "a/b", "", "a".repeat(129), "a.b"])
      await assert.rejects(order(token), AcmeProblem);
    assert.deepEqual(published, []);
    await assert.rejects(order("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"), /asked to look/);
    assert.equal(published.length, 1);
  });
});
