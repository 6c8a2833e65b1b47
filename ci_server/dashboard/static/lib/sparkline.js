// How the last jobs of a name went: a bar for each, as high as it took long, and how many passed.
import { duration } from "./time.js";
import { html } from "./ui.js";

const [WIDTH, GAP, HEIGHT, LOWEST] = [3, 1.5, 20, 2];

const percent = (trend) => Math.floor((100 * trend.passed) / trend.runs.length);

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

/** What the bars show, in words. */
export function trendWords(trend) {
  const { length } = trend.runs;
  const took = trend.runs.map((run) => run.seconds).filter((seconds) => seconds !== null);
  const passed = `${trend.passed} of the last ${length} passed`;
  return took.length ? `${passed}; they took ${duration(median(took))} (median)` : passed;
}

/** A trend of the API, whose newest job is the last bar. Room is kept for `places` bars. */
export function Sparkline({ trend, places = 20 }) {
  const runs = trend.runs.slice(0, places).reverse();
  const longest = Math.max(...runs.map((run) => run.seconds ?? 0), 0.001);
  const width = places * (WIDTH + GAP);
  return html`<svg
    class="sparkline"
    viewBox=${`0 0 ${width} ${HEIGHT}`}
    width=${width}
    height=${HEIGHT}
    aria-hidden="true"
  >
    ${runs.map((run, index) => {
      const height = Math.max(LOWEST, ((run.seconds ?? 0) / longest) * HEIGHT);
      return html`<rect
        class=${run.success ? "bar-passed" : "bar-failed"}
        x=${(places - runs.length + index) * (WIDTH + GAP)}
        y=${HEIGHT - height}
        width=${WIDTH}
        height=${height}
        rx="0.75"
      />`;
    })}
  </svg>`;
}

/** The bars and the pass rate; nothing while there is no trend. */
export function Trend({ trend }) {
  if (!trend?.runs.length) return null;
  return html`<span class="trend" title=${trendWords(trend)}>
    <${Sparkline} trend=${trend} />
    <span class="rate" aria-hidden="true">${percent(trend)}%</span>
    <span class="unseen">${trendWords(trend)}</span>
  </span>`;
}
