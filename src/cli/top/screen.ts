import { onSignals } from "../../runtime/signals.ts";

const esc = "\u001b";

/** The whole terminal, until it is let go. */
export class Screen {
  readonly #keys: (key: string) => void;
  readonly #heard = (chunk: Buffer): void => {
    for (const key of chunk.toString()) this.#keys(key);
  };

  /** @param keys called with every key */
  constructor(keys: (key: string) => void) {
    this.#keys = keys;
    process.stdin.setRawMode?.(true);
    process.stdin.on("data", this.#heard);
    process.stdout.write(`${esc}[?1049h${esc}[?25l`);
    // Whoever ends us should find the terminal as it was.
    onSignals(["SIGTERM", "SIGINT"], () => keys("q"));
  }

  /** Some terminals do not say, or say 0. */
  get width(): number {
    return process.stdout.columns || 80;
  }

  get height(): number {
    return process.stdout.rows || 24;
  }

  /** @param bold which of the lines stands out; `null`: none */
  draw(lines: readonly string[], bold: number | null): void {
    const shown = lines.slice(0, this.height).map((line, i) => {
      const text = i === bold ? `${esc}[1m${line}${esc}[0m` : line;
      return `${text}${esc}[K`;
    });
    process.stdout.write(`${esc}[H${shown.join("\r\n")}${esc}[J`);
  }

  close(): void {
    process.stdout.write(`${esc}[?25h${esc}[?1049l`);
    process.stdin.off("data", this.#heard);
    process.stdin.setRawMode?.(false);
    process.stdin.pause();
  }
}
