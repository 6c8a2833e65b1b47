// Sizes, as people say them.

const UNITS = ["KiB", "MiB", "GiB", "TiB"];

/** "0 B", "512 B", "1.5 KiB", "200 MiB": as `size_text` of the command line says it. */
export function bytes(size) {
  if (size < 1024) return `${size} B`;
  let amount = size / 1024;
  let unit = 0;
  while (amount >= 1023.5 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const tenths = Math.round(amount * 10);
  return `${tenths < 100 ? (tenths / 10).toFixed(1) : Math.round(amount)} ${UNITS[unit]}`;
}
