/** @jsxImportSource hono/jsx */
import type { Sample } from "../../src/status/throughput.ts";
import { bytes } from "./format.ts";

const width = 600;
const height = 80;
/** As many samples as fill it. */
const room = 120;

/** The points of a line: the newest sample at the right end. */
function points(values: readonly number[], most: number): string {
  const step = width / (room - 1);
  const from = width - (values.length - 1) * step;
  return values
    .map((value, i) => {
      const y = height - 2 - (most === 0 ? 0 : (value / most) * (height - 4));
      return `${(from + i * step).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}

/** Bytes a second over the last ten minutes, as a picture and in words. */
export function Sparkline({ samples }: { readonly samples: readonly Sample[] }) {
  const shown = samples.slice(-room);
  const last = shown.at(-1);
  if (last === undefined) return <p>Nothing is known yet: the first sample comes within ten seconds.</p>;
  const most = shown.reduce((peak, sample) => Math.max(peak, sample.in, sample.out), 0);
  return (
    <>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Throughput over the last ten minutes, at most ${bytes(most)} a second`}
      >
        <polyline
          class="in"
          points={points(
            shown.map((sample) => sample.in),
            most,
          )}
        />
        <polyline
          class="out"
          points={points(
            shown.map((sample) => sample.out),
            most,
          )}
        />
      </svg>
      <p>
        <span class="key in">from clients</span> {bytes(last.in)}/s, <span class="key out">to clients</span>{" "}
        {bytes(last.out)}/s; at most {bytes(most)}/s in the last ten minutes.
      </p>
    </>
  );
}
