// Numbers, as people read them.

const ROUND = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });

/** "12,345,679" from 10,000 on, "1.23457" below. */
export const number = (value) =>
  value === null || value === undefined
    ? "–"
    : (Math.abs(value) >= 10_000 ? ROUND : FINE).format(value);

const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

/** "12.35M", for axes. */
export const short = (value) => SHORT.format(value);
