// Shares in percent.

/** Rounded down to a tenth: 100 % is all. */
export const percent = (rate) => `${(Math.floor(rate * 1000) / 10).toFixed(1)} %`;
