// Charts in the colours of the page.
import uPlot from "../vendor/uplot.js";
import { html, useEffect, useRef } from "./ui.js";

const probe = document.createElement("span");
probe.hidden = true;

/**
 * A colour of base.css, such as "--accent", as a canvas takes it: without `light-dark()`.
 * @param {string} name
 * @param {number} [opacity] in percent
 */
export function colour(name, opacity = 100) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color =
    opacity === 100 ? `var(${name})` : `color-mix(in srgb, var(${name}) ${opacity}%, transparent)`;
  return getComputedStyle(probe).color;
}

/**
 * A chart of uPlot's.
 * @param {object} properties
 * @param {string} properties.title what it shows, also for those who cannot see it
 * @param {string} [properties.note] what it says, in words
 * @param {(number | null)[][]} properties.data the values of x, then those of each series
 * @param {() => object} properties.options of uPlot, without size; called again for other colours
 * @param {number} [properties.height] in pixels
 */
export function Chart({ title, note, data, options, height = 260 }) {
  const place = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      const size = { width: place.current.clientWidth, height };
      plot.current = new uPlot({ ...size, ...withAxes(options()) }, data, place.current);
    };
    draw();
    const resized = new ResizeObserver(() =>
      plot.current.setSize({ width: place.current.clientWidth, height }),
    );
    resized.observe(place.current);
    const themed = new MutationObserver(draw);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      themed.disconnect();
      scheme.removeEventListener("change", draw);
      plot.current.destroy();
    };
  }, [data]);
  return html`<figure class="chart">
    <figcaption><h2>${title}</h2> ${note && html`<span class="faint">${note}</span>`}</figcaption>
    <div ref=${place} role="img" aria-label=${note ? `${title}: ${note}` : title}></div>
  </figure>`;
}

function withAxes(options) {
  const [text, line] = [colour("--faint"), colour("--line")];
  const drawn = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const axes = options.axes ?? [{}, {}];
  return { ...options, axes: axes.map((axis) => ({ ...drawn, ...axis })) };
}
