import * as base64url from "jose/base64url";
import { z } from "zod";
import { type Crl, isNumberedBelow, parseCrl } from "../identity/revocation/crl.ts";
import type { DenyList } from "../identity/revocation/deny-list.ts";
import { sameName } from "../identity/self-issued.ts";
import type { SharedMap, SharedState } from "../state/state.ts";

/** Longer lists every router gets for itself. */
const maxListBytes = 1 << 20;
/** Entries that come at once are looked at once. */
const gatherMs = 10;

const entryForm = /^[0-9a-f]{1,64}$/;
const listText = z.string().max(Math.ceil((maxListBytes * 4) / 3) + 4);

/** The same issuer, about the same certificates. */
export const sameKind = (a: Crl, b: Crl): boolean =>
  sameName(a.canonicalIssuer, b.canonicalIssuer) &&
  a.scope.holders === b.scope.holders &&
  a.scope.authorities === b.scope.authorities &&
  String(a.scope.names) === String(b.scope.names);

/** Whether `list` is older than one that was there before: nobody goes back behind what was said. */
export const isOlder = (list: Crl, before: Crl): boolean =>
  list.thisUpdate < before.thisUpdate || isNumberedBelow(list, before);

const kindOf = ({ canonicalIssuer, scope }: Crl): string =>
  JSON.stringify([canonicalIssuer, scope.holders, scope.authorities, String(scope.names)]);

function* entriesOf({ serials, hashes }: DenyList): Iterable<string> {
  yield* serials;
  yield* hashes;
}

function listIn(text: string): Crl | null {
  try {
    const list = parseCrl(base64url.decode(text));
    return "malformed" in list ? null : list;
  } catch {
    return null;
  }
}

/**
 * What routers of several machines know of revoked certificates: whom the operator denies at any of them, and the
 * newest list of each issuer, which still counts only once its issuer's signature on it was verified. It takes from
 * nobody what their own files deny.
 */
export class SharedRevocations {
  readonly #state: SharedState;
  readonly #denied: SharedMap<true>;
  readonly #listTexts: SharedMap<string>;
  /** As they stand in the shared state, which two that were apart may leave behind what one of them knew. */
  readonly #told = new Map<string, Crl>();
  /** The newest that was ever there. */
  readonly #lists = new Map<string, Crl>();
  readonly #callbacks: (() => void)[] = [];
  #own: DenyList | null = null;
  #everybodys: DenyList = { serials: new Set(), hashes: new Set() };
  #soon: ReturnType<typeof setTimeout> | undefined;

  constructor(state: SharedState) {
    this.#state = state;
    this.#denied = state.map("denied", z.literal(true));
    this.#listTexts = state.map("lists", listText);
    this.#denied.onChange(() => this.#changed());
    this.#listTexts.onChange((kind, text) => {
      const list = text === undefined ? null : listIn(text);
      const known = this.#lists.get(kind);
      if (list === null || kindOf(list) !== kind) return;
      this.#told.set(kind, list);
      if (known !== undefined && isOlder(list, known)) return;
      this.#lists.set(kind, list);
      this.#changed();
    });
    let wasRead = state.wasRead;
    state.onChange(() => {
      if (wasRead === state.wasRead) return;
      wasRead = state.wasRead;
      this.#changed();
    });
  }

  /** What was never read, so that nobody knows whom the others deny; `null` once it was. */
  get unread(): string | null {
    return this.#state.wasRead ? null : "the state that routers share";
  }

  /** At all routers together, this one's own file not counted. */
  get denied(): DenyList {
    return this.#everybodys;
  }

  get lists(): readonly Crl[] {
    return [...this.#lists.values()];
  }

  /** Another list, or another one denied. */
  onChange(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  /** What this router's own file says now: what it says for the first time is denied everywhere, what it took back nowhere. */
  deny(own: DenyList): void {
    const said = new Set(entriesOf(own));
    for (const entry of this.#own === null ? [] : entriesOf(this.#own))
      if (!said.has(entry)) void this.#denied.delete(entry);
    for (const entry of said)
      if (this.#denied.get(entry) === undefined) void this.#denied.set(entry, true, null);
    this.#own = own;
  }

  /** A list that this router got. */
  tell(list: Crl): void {
    const kind = kindOf(list);
    const known = this.#told.get(kind);
    if (!this.#state.wasRead || list.raw.length > maxListBytes) return;
    if (known !== undefined && !isOlder(known, list)) return;
    void this.#listTexts.set(kind, base64url.encode(list.raw), null);
  }

  stop(): void {
    clearTimeout(this.#soon);
  }

  #changed(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      const serials = new Set<string>();
      const hashes = new Set<string>();
      for (const [entry] of this.#denied.entries())
        if (entryForm.test(entry)) (entry.length === 64 ? hashes : serials).add(entry);
      this.#everybodys = { serials, hashes };
      for (const callback of this.#callbacks) callback();
    }, gatherMs);
  }
}
