import { z } from "zod";
import { parseSshPrincipal } from "../enrolment/ssh-principals.ts";
import type { Template } from "../enrolment/template.ts";
import { type GroupSource, parseGroupSource } from "../identity/groups.ts";
import { type AllowRule, parseAllow } from "../identity/policy.ts";
import type { TunnelRule } from "../identity/publishers.ts";
import type { TokenRate } from "../limits/token-buckets.ts";
import { tunnelName } from "../tunnel/wire.ts";
import { type Cidr, parseCidr, parseIp } from "../wire/ip.ts";

/** The kinds of value that variables and route parameters take, each with an error that says what was expected. */

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** More is a slip. */
const maxDurationMs = 31 * 24 * 3_600_000;

const milliseconds = (min: number) =>
  z.string().transform((text, context) => {
    const [, digits, unit] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
    const ms = Number(digits) * (unitMs[unit ?? ""] ?? Number.NaN);
    if (ms >= min && ms <= maxDurationMs) return ms;
    context.addIssue(
      Number.isNaN(ms)
        ? `${JSON.stringify(text)} is no duration: expected a number and a unit, such as 500ms, 10s, 5m or 1h`
        : `${text} is out of bounds: expected ${min === 0 ? "0s" : "1ms"} to 744h`,
    );
    return z.NEVER;
  });

/** How long something may take, in milliseconds: never nothing. */
export const duration = milliseconds(1);
/** How long to wait on purpose, in milliseconds: `0s` is not to wait. */
export const delay = milliseconds(0);

/** How long to bear with something, in milliseconds; `off` is for ever. */
export const grace = z.string().transform((text, context) => {
  if (text === "off") return Number.POSITIVE_INFINITY;
  const result = delay.safeParse(text);
  if (result.success) return result.data;
  context.addIssue(`${result.error.issues[0]?.message}; or off`);
  return z.NEVER;
});

/** `allow` rules with semicolons between them. */
export const allowRules = z.string().transform((text, context) => {
  const rules: AllowRule[] = [];
  for (const part of text.split(";")) {
    const rule = parseAllow(part.trim());
    if ("problem" in rule) {
      context.addIssue(rule.problem);
      return z.NEVER;
    }
    rules.push(rule);
  }
  return rules;
});

/** Who may publish agents of which name: `NAME=RULE`, with semicolons between them. */
export const tunnelRules = z.string().transform((text, context) => {
  const rules: TunnelRule[] = [];
  for (const part of text.split(";")) {
    const [, name = "", ruleText = ""] = /^\s*([^=\s]*)\s*=(.*)$/s.exec(part) ?? [];
    const rule = parseAllow(ruleText.trim());
    if (!tunnelName.test(name.replaceAll("*", "x"))) {
      context.addIssue(
        `${JSON.stringify(part.trim())} does not begin with an agent's name and =: expected NAME=RULE, such as edge-1=cn:edge-1`,
      );
      return z.NEVER;
    }
    if ("problem" in rule) {
      context.addIssue(`${name}=${rule.problem}`);
      return z.NEVER;
    }
    rules.push({ name, rule });
  }
  return rules;
});

/** Where groups are found, with commas between the places. */
export const groupSources = z.string().transform((text, context) => {
  const sources: GroupSource[] = [];
  for (const part of list(text)) {
    const source = parseGroupSource(part);
    if ("problem" in source) {
      context.addIssue(source.problem);
      return z.NEVER;
    }
    sources.push(source);
  }
  return sources;
});

/** What makes principals of an identity, with commas between them; empty for `off`. */
export const sshPrincipals = z.string().transform((text, context) => {
  const templates: Template[] = [];
  for (const part of text === "off" ? [] : list(text)) {
    const template = parseSshPrincipal(part);
    if ("problem" in template) {
      context.addIssue(template.problem);
      return z.NEVER;
    }
    templates.push(template);
  }
  if (templates.length > 0 || text === "off") return templates;
  context.addIssue("expected at least one name, such as {cn}; or off");
  return z.NEVER;
});

/** The URL of an OCSP responder. */
export const responder = z.string().transform((text, context) => {
  const url = /^https?:\/\/[!-~]+$/i.test(text) && URL.canParse(text) ? new URL(text) : null;
  if (url !== null && url.username === "" && url.password === "") return text;
  // What was given is not repeated: it may hold a password.
  context.addIssue("expected an http:// or https:// URL without a user's name");
  return z.NEVER;
});

/** How long a client certificate lasts, in milliseconds: long enough for clocks that differ, short enough to forget. */
export const certificateLifetime = duration.transform((ms, context) => {
  if (ms >= 5 * 60_000 && ms <= 24 * 3_600_000) return ms;
  context.addIssue("is out of bounds: expected 5m to 24h");
  return z.NEVER;
});

/** How long a browser stays signed in, in milliseconds. */
export const loginLifetime = duration.transform((ms, context) => {
  if (ms >= 60_000 && ms <= 3_600_000) return ms;
  context.addIssue("is out of bounds: expected 1m to 1h");
  return z.NEVER;
});

const whole = (min: number, max: number, what: string) =>
  z.string().transform((text, context) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    context.addIssue(`${JSON.stringify(text)} is no ${what}: expected a whole number from ${min} to ${max}`);
    return z.NEVER;
  });

export const count = whole(1, 10_000_000, "count");
export const auditFiles = whole(1, 1000, "count");
export const port = whole(1, 65_535, "port");
/** Port 0 lets the system choose. */
export const listenPort = whole(0, 65_535, "port");

const number = whole(1, 256, "count");
/** How many processes: so many, or as many as the machine has cores. */
export const workers = z.string().transform((text, context): number | "auto" => {
  if (text === "auto") return text;
  const result = number.safeParse(text);
  if (result.success) return result.data;
  context.addIssue(`${result.error.issues[0]?.message}, or auto`);
  return z.NEVER;
});

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** How often something may happen: `100/s`, `6000/m,burst=200`. `off`: as often as it likes. */
export const rate = z.string().transform((text, context): TokenRate | null => {
  if (text === "off") return null;
  const [, digits, unit = "", burst = digits] = /^(\d{1,9})\/([smh])(?:,burst=(\d{1,9}))?$/.exec(text) ?? [];
  const [many, atOnce] = [Number(digits), Number(burst)];
  if (many > 0 && atOnce > 0) return { perSecond: many / (unitSeconds[unit] ?? 1), burst: atOnce };
  context.addIssue(
    `${JSON.stringify(text)} is no rate: expected such as 100/s, 6000/m or 100/s,burst=500; or off`,
  );
  return z.NEVER;
});

const unitBytes: Readonly<Record<string, number>> = {
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
/** With less, what is read at once would be waited for unduly long. */
const leastBandwidth = 64 * 1024;

/** Bytes a second: `50MiB/s`. `off`: as many as there are. */
export const bandwidth = z.string().transform((text, context): number | null => {
  if (text === "off") return null;
  const [, digits, unit = ""] = /^(\d{1,9})([KMG]i?B)\/s$/.exec(text) ?? [];
  const value = Number(digits) * (unitBytes[unit] ?? Number.NaN);
  if (value >= leastBandwidth) return value;
  context.addIssue(
    Number.isNaN(value)
      ? `${JSON.stringify(text)} is no bandwidth: expected such as 50MiB/s, 500KB/s or 1GiB/s; or off`
      : `${text} is out of bounds: expected 64KiB/s at least`,
  );
  return z.NEVER;
});

/** Less, and no runtime has room for itself. */
const leastMemory = 64 * 1024 ** 2;

/** Bytes: `512MiB`. `auto`: by what there is; `off`: as many as there are. */
export const memory = z.string().transform((text, context): number | "auto" | null => {
  if (text === "off") return null;
  if (text === "auto") return text;
  const [, digits, unit = ""] = /^(\d{1,9})([KMG]i?B)$/.exec(text) ?? [];
  const value = Number(digits) * (unitBytes[unit] ?? Number.NaN);
  if (value >= leastMemory) return value;
  context.addIssue(
    Number.isNaN(value)
      ? `${JSON.stringify(text)} is no amount of memory: expected such as 512MiB or 2GiB; auto; or off`
      : `${text} is out of bounds: expected 64MiB at least`,
  );
  return z.NEVER;
});

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[::]:port` or `:port`; port 0 lets the system choose. */
export const address = z.string().transform((text, context): Address => {
  const [, v6, name, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]*)):(\d{1,5})$/.exec(text) ?? [];
  const value = Number(digits);
  const sound = digits !== undefined && value <= 65_535 && (v6 === undefined || parseIp(v6) !== null);
  if (sound) return { host: v6 ?? (name || "::"), port: value };
  context.addIssue(
    `${JSON.stringify(text)} is no address: expected host:port, such as 0.0.0.0:8443 or [::]:8443`,
  );
  return z.NEVER;
});

/** An address as others dial it, as it stands. */
export const dialAddress = address.transform(({ host, port }, context): string => {
  if (port !== 0 && !["0.0.0.0", "::"].includes(host))
    return `${host.includes(":") ? `[${host}]` : host}:${port}`;
  context.addIssue("can't be dialled: expected a host and its port, such as 10.0.0.5:8443");
  return z.NEVER;
});

export const list = (text: string): string[] =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");

/** The same, with commas between several. */
export const dialAddresses = z.string().transform((text, context): string[] => {
  const addresses: string[] = [];
  for (const item of list(text)) {
    const read = dialAddress.safeParse(item);
    if (!read.success) {
      context.addIssue(read.error.issues[0]?.message ?? "is not understood");
      return z.NEVER;
    }
    addresses.push(read.data);
  }
  return addresses;
});

export const cidrs = z.string().transform((text, context): Cidr[] => {
  const networks: Cidr[] = [];
  for (const item of list(text)) {
    const cidr = parseCidr(item);
    if (cidr === null) {
      context.addIssue(
        `${JSON.stringify(item)} is no network: expected an address or ADDRESS/BITS without host bits, such as 10.0.0.0/8`,
      );
      return z.NEVER;
    }
    networks.push(cidr);
  }
  if (networks.length > 0) return networks;
  context.addIssue("expected at least one network, such as 10.0.0.0/8");
  return z.NEVER;
});

/** One of a few words. */
export const oneOf = <const T extends readonly string[]>(...words: T) =>
  z.string().transform((text, context): T[number] => {
    const found = words.find((word) => word === text);
    if (found !== undefined) return found;
    context.addIssue(`${JSON.stringify(text)}: expected ${words.join(", ").replace(/, ([^,]*)$/, " or $1")}`);
    return z.NEVER;
  });

export const text = z.string();
