import type { Phases } from "../observe/traces.ts";

const now = (): number => performance.timeOrigin + performance.now();

/** How far a connection got, and when. */
export class Progress implements Phases {
  readonly began = now();
  hello: number | null = null;
  handshake: number | null = null;
  verified: number | null = null;
  served: number | null = null;

  reached(phase: "hello" | "handshake" | "verified" | "served"): void {
    this[phase] = now();
  }
}
