// The charts of a valuation: how its values are distributed, how sure their mean is, and when the
// money flows.
import { Chart, colour } from "../lib/chart.js";
import { convergence, histogram } from "../lib/distribution.js";
import { number, short } from "../lib/numbers.js";
import { html, useMemo } from "../lib/ui.js";
import uPlot from "../vendor/uplot.js";

const FLOWS = [
  ["premium", "--passed"],
  ["claims", "--failed"],
  ["expenses", "--waiting"],
  ["net", "--accent"],
];
const compact = { size: 64, values: (_, ticks) => ticks.map(short) };

/** How many scenarios have which value, with the mean, the CTE and the percentiles as lines. */
export function Distribution({ values, statistics }) {
  const { centres, counts, width } = useMemo(
    () => histogram(Float64Array.from(values).sort()),
    [values],
  );
  const data = useMemo(() => [centres, counts], [centres]);
  const marks = [
    ["mean", statistics.mean_npv, "--text"],
    ["CTE 95", statistics.cte_95, "--failed"],
    ...Object.entries(statistics.percentiles ?? {}).map(([name, value]) => [name, value, "--faint"]),
  ];
  return html`<${Chart} title="Distribution of the net present value"
    note=${`${values.length.toLocaleString("en")} scenarios in ${counts.length} bins`}
    data=${data}
    options=${() => ({
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { time: false, range: (_, low, high) => [low - width, high + width] } },
      series: [
        {},
        {
          stroke: colour("--accent"),
          fill: colour("--accent", 33),
          paths: uPlot.paths.bars({ size: [1, Infinity, 0] }),
          points: { show: false },
        },
      ],
      axes: [{ values: compact.values }, { size: compact.size }],
      hooks: { draw: [(plot) => drawMarks(plot, marks)] },
    })} />`;
}

function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  let row = 0;
  for (const [name, value, tint] of marks) {
    const x = plot.valToPos(value, "x", true);
    ctx.strokeStyle = ctx.fillStyle = colour(tint);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top + (row + 1) * 13 * devicePixelRatio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(name, x, bbox.top + (row + 0.8) * 13 * devicePixelRatio);
    row = (row + 1) % 4;
  }
  ctx.restore();
}

/** The mean of the first n scenarios: what more of them would still change. */
export function Convergence({ values }) {
  const { n, mean, low, high } = useMemo(() => convergence(values), [values]);
  const data = useMemo(() => [n, high, low, mean], [n]);
  const error = (high.at(-1) - low.at(-1)) / 2;
  return html`<${Chart} title="Convergence of the mean"
    note=${`${number(mean.at(-1))} ± ${number(error)} (95 %, by the standard error)`}
    data=${data}
    options=${() => ({
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { time: false } },
      bands: [{ series: [1, 2], fill: colour("--accent", 17) }],
      series: [
        {},
        { stroke: "transparent" },
        { stroke: "transparent" },
        { stroke: colour("--accent"), width: 2 },
      ],
      axes: [{ values: compact.values }, compact],
    })} />`;
}

/** Undiscounted, averaged over the scenarios, by year. */
export function CashFlows({ flows }) {
  const years = flows.net.map((_, index) => index + 1);
  const last = Math.max(
    1,
    ...FLOWS.map(([name]) => flows[name].findLastIndex((value) => value !== 0) + 1),
  );
  const data = useMemo(
    () => [years, ...FLOWS.map(([name]) => flows[name])].map((each) => each.slice(0, last)),
    [flows],
  );
  return html`<${Chart} title="Cash flows by year"
    note="Undiscounted, averaged over the scenarios" data=${data}
    options=${() => ({
      cursor: { y: false },
      scales: { x: { time: false } },
      series: [
        { label: "year" },
        ...FLOWS.map(([label, tint]) => ({
          label,
          stroke: colour(tint),
          width: label === "net" ? 3 : 1.5,
          value: (_, value) => number(value),
        })),
      ],
      axes: [{}, compact],
    })} />`;
}
