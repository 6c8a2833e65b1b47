// What a chart shows of many values.

const FEWEST_BINS = 10;
const MOST_BINS = 80;

/**
 * A histogram whose bins are as wide as the rule of Freedman and Diaconis says: 2·IQR/∛n.
 * @param {Float64Array} sorted in ascending order, not empty
 * @returns {{centres: number[], counts: number[], width: number}}
 */
export function histogram(sorted) {
  const [low, high] = [sorted[0], sorted.at(-1)];
  const spread = percentile(sorted, 75) - percentile(sorted, 25);
  const wanted = (high - low) / ((2 * spread) / Math.cbrt(sorted.length));
  const bins = Number.isFinite(wanted)
    ? Math.min(Math.max(Math.ceil(wanted), FEWEST_BINS), MOST_BINS)
    : 1;
  const width = (high - low) / bins || 1;
  const counts = new Array(bins).fill(0);
  for (const value of sorted) {
    counts[Math.min(Math.floor((value - low) / width), bins - 1)] += 1;
  }
  return { centres: counts.map((_, index) => low + (index + 0.5) * width), counts, width };
}

/** The p-th percentile, between two values in proportion, at p/100·(n - 1). */
export function percentile(sorted, p) {
  const place = (p / 100) * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return below + (above - below) * (place - Math.floor(place));
}

/**
 * The mean of the first n values, and 1.96 standard errors around it, at up to `most` values of n:
 * it tells whether more scenarios would change the mean. The variance is summed as by Welford.
 * @returns {{n: number[], mean: number[], low: number[], high: number[]}}
 */
export function convergence(values, most = 400) {
  const found = { n: [], mean: [], low: [], high: [] };
  const step = Math.max(1, Math.ceil(values.length / most));
  let mean = 0;
  let squares = 0;
  values.forEach((value, index) => {
    const n = index + 1;
    const before = value - mean;
    mean += before / n;
    squares += before * (value - mean);
    if (n % step && n !== values.length) return;
    const error = n > 1 ? (1.96 * Math.sqrt(squares / (n - 1))) / Math.sqrt(n) : 0;
    found.n.push(n);
    found.mean.push(mean);
    found.low.push(mean - error);
    found.high.push(mean + error);
  });
  return found;
}
