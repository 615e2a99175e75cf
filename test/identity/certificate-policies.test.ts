import { describe, it } from "node:test";
import {
  basicConstraints,
  type Holder,
  intermediate,
  keyUsage,
  leaf,
  leafExtensions,
  name,
  root,
} from "../support/crafted-certificates.ts";
import {
  inhibitAnyPolicy,
  policies,
  policyConstraints,
  policyMappings,
} from "../support/crafted-extensions.ts";
import type { Bytes } from "../support/der.ts";
import { accepted, refused } from "../support/paths.ts";

const [gold, silver, bronze, any] = [
  "1.3.6.1.4.1.99999.1",
  "1.3.6.1.4.1.99999.2",
  "1.3.6.1.4.1.99999.3",
  "2.5.29.32.0",
];

const anchor = root();
const authority = (issuer: Holder, label: string, ...more: readonly Bytes[]): Holder =>
  intermediate(issuer, {
    subject: name(["CN", label]),
    extensions: [basicConstraints(true), keyUsage("keyCertSign"), ...more],
  });
const holder = (issuer: Holder, ...more: readonly Bytes[]): Holder =>
  leaf(issuer, { extensions: [...leafExtensions, ...more] });
const none = /a policy is required, and none is valid \(RFC 5280 §6\.1\./;

describe("certificate policies", () => {
  it("don't matter where nobody requires one", async () => {
    const a = authority(anchor, "A", policies(gold));
    await accepted([holder(a, policies(silver)), a], [anchor]);
    await accepted([holder(a), a], [anchor]);
  });

  it("must be one all the way down where one is required", async () => {
    const a = authority(anchor, "A", policies(gold, silver), policyConstraints(0));
    await accepted([holder(a, policies(silver)), a], [anchor]);
    await refused([holder(a, policies(bronze)), a], [anchor], "client_cert_unfit", none);
    await refused([holder(a), a], [anchor], "client_cert_unfit", none);
  });

  it("are required so many certificates later, those that are self-issued aside", async () => {
    const a = authority(anchor, "A", policyConstraints(1));
    const b = authority(a, "B");
    const renewed = intermediate(a, { subject: a.name });
    await refused([holder(b), b, a], [anchor], "client_cert_unfit", none);
    await refused([holder(renewed), renewed, a], [anchor], "client_cert_unfit", none);
    const later = authority(anchor, "A2", policyConstraints(3));
    const below = authority(later, "B2");
    await accepted([holder(below), below, later], [anchor]);
  });

  it("of any kind stand for each, until that is inhibited", async () => {
    const open = authority(anchor, "A", policies(any), policyConstraints(0));
    await accepted([holder(open, policies(gold)), open], [anchor]);
    const closed = authority(anchor, "A", policies(gold), policyConstraints(0), inhibitAnyPolicy(0));
    await refused([holder(closed, policies(any)), closed], [anchor], "client_cert_unfit", none);
    await accepted([holder(closed, policies(gold)), closed], [anchor]);
  });

  it("may count for others, unless that is inhibited", async () => {
    const mapping = [policies(gold), policyMappings([gold, silver])];
    const a = authority(anchor, "A", ...mapping, policyConstraints(0));
    await accepted([holder(a, policies(silver)), a], [anchor]);
    await refused([holder(a, policies(gold)), a], [anchor], "client_cert_unfit", none);
    const top = authority(anchor, "Top", policies(gold), policyConstraints(0, 0));
    const b = authority(top, "B", ...mapping);
    await refused([holder(b, policies(silver)), b, top], [anchor], "client_cert_unfit", none);
  });

  it("that the anchor requires are required", async () => {
    const strict = root({
      extensions: [basicConstraints(true), keyUsage("keyCertSign"), policyConstraints(0)],
    });
    await refused([holder(strict)], [strict], "client_cert_unfit", none);
    await accepted([holder(strict, policies(gold))], [strict]);
  });

  it("by the hundred, each mapped to each, end in bounded work", async () => {
    const ids = Array.from({ length: 30 }, (_, i) => `1.3.6.1.4.1.99999.7.${i}`);
    const all = ids.flatMap((from) => ids.map((to) => [from, to] as const));
    let issuer = authority(anchor, "L0", policies(...ids), policyConstraints(0));
    const chain = [issuer];
    for (let i = 1; i < 6; i++) {
      issuer = authority(issuer, `L${i}`, policies(...ids), policyMappings(...all));
      chain.unshift(issuer);
    }
    await accepted([holder(issuer, policies(ids[0] ?? "")), ...chain], [anchor]);
    await refused([holder(issuer, policies(gold)), ...chain], [anchor], "client_cert_unfit", none);
  });

  it("are an authority's business: a holder's certificate with rules about them is unfit", async () => {
    for (const extension of [policyConstraints(3), inhibitAnyPolicy(0), policyMappings([gold, silver])]) {
      await refused([holder(anchor, extension)], [anchor], "client_cert_unfit", /are for authorities alone/);
    }
  });
});
