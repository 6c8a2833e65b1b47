// CPU and memory of a job over time.
import { requestJson } from "../lib/api.js";
import { Problem } from "../lib/shell.js";
import { bytes } from "../lib/sizes.js";
import { html, useEffect, useRef, useState } from "../lib/ui.js";
import uPlot from "../vendor/uplot.js";

const AGAIN_MS = 10_000;
const HEIGHT = 200;
const POWERS = Array.from({ length: 44 }, (_, at) => 2 ** at); // round sizes

export function Resources({ path, live }) {
  const [found, error] = useResources(path, live);
  if (error) return html`<${Problem} error=${error} />`;
  if (!found) return null;
  const { points, limits, peak } = found;
  if (!points.length) return html`<p>There are no samples: the job was too short, or the executor cannot tell.</p>`;
  const seconds = points.map((point) => point.seconds);
  return html`
    <${Chart} title="CPU" note=${`at most ${peak.cpu_cores.toFixed(2)} cores${limits.cpu_cores ? ` of ${limits.cpu_cores}` : ""}`}
      seconds=${seconds} values=${points.map((point) => point.cpu_cores)} limit=${limits.cpu_cores}
      show=${(value) => value.toFixed(peak.cpu_cores < 1 ? 2 : 1)} />
    <${Chart} title="Memory" note=${`at most ${bytes(peak.memory_bytes)}${limits.memory_bytes ? ` of ${bytes(limits.memory_bytes)}` : ""}`}
      seconds=${seconds} values=${points.map((point) => point.memory_bytes)} limit=${limits.memory_bytes}
      show=${bytes} />
  `;
}

/** While the job runs they are asked for again and again. */
function useResources(path, live) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    const load = () => requestJson(`${path}/resources`).then(setFound, setError);
    load();
    if (!live) return undefined;
    const timer = setInterval(load, AGAIN_MS);
    return () => clearInterval(timer);
  }, [path, live]);
  return [found, found ? null : error];
}

function Chart({ title, note, seconds, values, limit, show }) {
  const place = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    plot.current = new uPlot(optionsOf(place.current, limit, show), [seconds, values], place.current);
    const observer = new ResizeObserver(() =>
      plot.current.setSize({ width: place.current.clientWidth, height: HEIGHT }),
    );
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      plot.current.destroy();
    };
  }, [limit]);
  useEffect(() => plot.current.setData([seconds, values]), [seconds.length, seconds.at(-1)]);
  return html`<figure class="chart">
    <figcaption><strong>${title}</strong> <span class="faint">${note}</span></figcaption>
    <div ref=${place} role="img" aria-label=${`${title} over time: ${note}`}></div>
  </figure>`;
}

function optionsOf(place, limit, show) {
  const styles = getComputedStyle(document.documentElement);
  const [line, text, grid] = ["--accent", "--faint", "--line"].map((name) => styles.getPropertyValue(name).trim());
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: (_, __, last) => [0, last || 1] },
      y: { range: (_, __, most) => [0, Math.max(most, limit ?? 0) * 1.05 || 1] },
    },
    series: [{}, { stroke: line, width: 2, fill: `${line}22` }],
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
      { ...axis, size: 80, incrs: show === bytes ? POWERS : undefined, values: (_, ticks) => ticks.map(show) },
    ],
  };
}
