// CPU and memory of a job over time.
import { requestJson } from "../lib/api.js";
import { Chart, colour } from "../lib/chart.js";
import { Problem } from "../lib/shell.js";
import { bytes } from "../lib/sizes.js";
import { html, useEffect, useMemo, useReducer, useState } from "../lib/ui.js";

const AGAIN_MS = 10_000;
const HEIGHT = 200;
const POWERS = Array.from({ length: 44 }, (_, at) => 2 ** at); // round sizes

export function Resources({ path, live }) {
  const [found, error, again] = useResources(path, live);
  if (error) return html`<${Problem} error=${error} retry=${again} />`;
  if (!found) return null;
  if (!found.points.length) {
    return html`<p>There are no samples: the job was too short, or its executor does not measure.</p>`;
  }
  return html`<${Usage} found=${found} />`;
}

function Usage({ found: { points, limits, peak } }) {
  const [cpu, memory] = useMemo(
    () =>
      ["cpu_cores", "memory_bytes"].map((name) => [
        points.map((point) => point.seconds),
        points.map((point) => point[name]),
      ]),
    [points],
  );
  const digits = peak.cpu_cores < 0.1 ? 3 : peak.cpu_cores < 1 ? 2 : 1; // of ticks that differ
  const cores = (value) => value.toFixed(digits);
  return html`
    <${Chart} title="CPU over time" note=${atMost(peak.cpu_cores.toFixed(2), limits.cpu_cores, "cores")}
      data=${cpu} height=${HEIGHT} options=${() => optionsOf(limits.cpu_cores, cores)} />
    <${Chart} title="Memory over time"
      note=${atMost(bytes(peak.memory_bytes), limits.memory_bytes && bytes(limits.memory_bytes))}
      data=${memory} height=${HEIGHT} options=${() => optionsOf(limits.memory_bytes, bytes)} />
  `;
}

/** The highest value, and the limit if there is one. */
const atMost = (peak, limit, unit = "") =>
  `at most ${peak} ${limit ? `of ${limit} ` : ""}${unit}`.trimEnd();

/** `[found, error, again]`: while the job runs they are asked for again and again. */
function useResources(path, live) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const [turn, again] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    setError(null);
    let isWaiting = false;
    let isOver = false; // what is asked for now is newer
    const load = async () => {
      if (isWaiting) return;
      isWaiting = true;
      try {
        const answer = await requestJson(`${path}/resources`);
        if (!isOver) setFound(answer);
      } catch (problem) {
        if (!isOver) setError(problem);
      }
      isWaiting = false;
    };
    load();
    const timer = live ? setInterval(load, AGAIN_MS) : null;
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [path, live, turn]);
  return [found, found ? null : error, again];
}

function optionsOf(limit, show) {
  return {
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: (_, __, last) => [0, last || 1] },
      y: { range: (_, __, most) => [0, Math.max(most, limit ?? 0) * 1.05 || 1] },
    },
    series: [{}, { stroke: colour("--accent"), width: 2, fill: colour("--accent", 13) }],
    axes: [
      { values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
      { size: 80, incrs: show === bytes ? POWERS : undefined, values: (_, ticks) => ticks.map(show) },
    ],
  };
}
