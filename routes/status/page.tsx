/** @jsxImportSource hono/jsx */
import { raw } from "hono/html";
import type { Identity } from "../../src/identity/identity.ts";
import type { Snapshot } from "../../src/status/snapshot.ts";
import { said, time } from "./format.ts";
import { partsOf } from "./parts.tsx";
import { script } from "./script.ts";
import { style } from "./style.ts";

interface StatusPageProps {
  readonly snapshot: Snapshot;
  /** Who looks at it. */
  readonly identity: Identity;
}

/** What the router does, whole without its script, and kept current by it. */
export function StatusPage({ snapshot, identity }: StatusPageProps) {
  const { at, started, version, runtime } = snapshot;
  const [figures, ...sections] = partsOf(snapshot);
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Status – Sallyport</title>
        <style>{raw(style)}</style>
      </head>
      <body class="status">
        <header>
          <h1>Sallyport</h1>
          <p class="live">
            <span id="live" role="status">
              Reload for newer figures.
            </span>{" "}
            <button type="button" id="pause" hidden>
              Pause
            </button>
          </p>
          <nav aria-label="Sections">
            <ul>
              {sections.map(({ id, title }) => (
                <li>
                  <a href={`#${id}-title`}>{title}</a>
                </li>
              ))}
            </ul>
          </nav>
        </header>
        <main>
          {figures?.whole}
          {sections.map(({ id, title, whole }) => (
            <section aria-labelledby={`${id}-title`}>
              <h2 id={`${id}-title`}>{title}</h2>
              {whole}
            </section>
          ))}
        </main>
        <footer>
          <p>
            Version {version} on {runtime}, started {time(started, at)}. Times are UTC. In is from clients,
            out to them. You are {said(identity.subject)}, until{" "}
            <time datetime={identity.expires}>{time(Date.parse(identity.expires), at)}</time>.
          </p>
        </footer>
        <script>{raw(script)}</script>
      </body>
    </html>
  );
}
