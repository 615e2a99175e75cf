import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

interface Message {
  readonly id?: number;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** How a page is looked at. */
export interface View {
  readonly width: number;
  readonly height: number;
  readonly scheme: "light" | "dark";
}

interface Setting {
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** A headless Chromium, driven by its DevTools protocol over a pipe: JSON messages, each ended by a NUL. */
export class Chromium {
  readonly #child: ChildProcess;
  readonly #folder = mkdtempSync(join(tmpdir(), "sallyport-chromium-"));
  readonly #waiting = new Map<number, (message: Message) => void>();
  #last = 0;
  #session: string | undefined;

  constructor(program: string, { flags = [], env = process.env }: Setting = {}) {
    this.#child = spawn(
      program,
      [
        "--headless=new",
        // Not without rights that a container does not have; it visits this machine alone.
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--remote-debugging-pipe",
        `--user-data-dir=${this.#folder}`,
        ...flags,
      ],
      { env, stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true },
    );
    let text = "";
    (this.#child.stdio[4] as Readable).setEncoding("utf8").on("data", (chunk: string) => {
      const messages = (text + chunk).split("\0");
      text = messages.pop() ?? "";
      for (const one of messages) {
        const message = JSON.parse(one) as Message;
        if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      }
    });
    (this.#child.stdio[3] as Writable).on("error", () => {});
  }

  #send(method: string, params: object): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#last;
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    (this.#child.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`Chromium does not answer ${method}`)), 60_000);
      this.#waiting.set(id, ({ result = {}, error }) => {
        clearTimeout(late);
        this.#waiting.delete(id);
        if (error === undefined) resolve(result);
        else reject(new Error(`${method}: ${error.message}`));
      });
    });
  }

  async open(url: string): Promise<void> {
    const { targetId } = await this.#send("Target.createTarget", { url });
    const { sessionId } = await this.#send("Target.attachToTarget", { targetId, flatten: true });
    this.#session = String(sessionId);
  }

  async view({ width, height, scheme }: View): Promise<void> {
    const size = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.#send("Emulation.setDeviceMetricsOverride", size);
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.#send("Emulation.setEmulatedMedia", { features });
  }

  /** Reloads the page; `scripts`: whether its scripts run from then on. */
  async reload({ scripts }: { readonly scripts: boolean }): Promise<void> {
    await this.#send("Emulation.setScriptExecutionDisabled", { value: !scripts });
    await this.#send("Page.reload", {});
  }

  /** What an expression comes to in the page, as JSON has it; promises are waited for. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = (await this.#send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })) as { result?: { value?: unknown }; exceptionDetails?: { exception?: { description?: string } } };
    if (exceptionDetails !== undefined)
      throw new Error(exceptionDetails.exception?.description ?? "it throws");
    return result?.value;
  }

  /** The whole page as it looks, PNG. */
  async screenshot(): Promise<Buffer> {
    const { data } = await this.#send("Page.captureScreenshot", { captureBeyondViewport: true });
    return Buffer.from(String(data), "base64");
  }

  /** Evaluates it in the page until it is true, while pages come and go. */
  async until(expression: string): Promise<void> {
    for (let i = 0; i < 1200; i++) {
      try {
        const { result } = await this.#send("Runtime.evaluate", { expression });
        if ((result as { readonly value?: unknown } | undefined)?.value === true) return;
      } catch {
        // Between two pages there is none.
      }
      await new Promise((next) => setTimeout(next, 50));
    }
    throw new Error(`never true: ${expression}; the page is ${await this.text()}`);
  }

  async text(): Promise<string> {
    const { result } = await this.#send("Runtime.evaluate", { expression: "document.body.innerText" });
    return String((result as { readonly value?: unknown } | undefined)?.value);
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    // All of its processes: what is left of them would go on writing to the folder.
    if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGKILL");
    await gone;
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

/**
 * Logs in at the provider of `openid-provider.ts`, and gives the text of the page where it ends: where `until`, JavaScript
 * for the page, is true.
 */
export async function logInWithChromium(
  program: string,
  url: string,
  name: string,
  { until = 'location.pathname === "/callback"', ...setting }: Setting & { readonly until?: string } = {},
): Promise<string> {
  const chromium = new Chromium(program, setting);
  try {
    await chromium.open(url);
    await chromium.until(`(() => {
      const login = document.querySelector("input[name=login]");
      if (login === null) return false;
      login.value = ${JSON.stringify(name)};
      document.querySelector("input[name=password]").value = "any";
      document.querySelector("button[type=submit]").click();
      return true;
    })()`);
    await chromium.until(`(() => {
      if (document.querySelector("input[name=login]") !== null) return false;
      const next = document.querySelector("button[type=submit]");
      next?.click();
      return next !== null && next !== undefined;
    })()`);
    await chromium.until(`document.body.innerText !== "" && (${until})`);
    return await chromium.text();
  } finally {
    await chromium.close();
  }
}
