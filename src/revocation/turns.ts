/** So many at once and no more; whoever comes later waits for a turn. */
export class Turns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** A turn, to be given back; `null` when there was none in time. */
  async take(withinMs: number): Promise<{ done(): void } | null> {
    if (this.#free > 0) this.#free--;
    else if (!(await this.#wait(withinMs))) return null;
    return { done: () => this.#pass() };
  }

  #wait(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const called = (): void => {
        clearTimeout(late);
        this.#waiting.delete(called);
        resolve(true);
      };
      const late = setTimeout(() => {
        this.#waiting.delete(called);
        resolve(false);
      }, withinMs);
      this.#waiting.add(called);
    });
  }

  #pass(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free++;
    else next();
  }
}
