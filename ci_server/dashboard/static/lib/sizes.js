// Sizes, as people say them.

const UNITS = ["KiB", "MiB", "GiB", "TiB"];

/** "0 bytes", "1 byte", "512 bytes", "1.5 KiB", "200 MiB". */
export function bytes(size) {
  if (size < 1024) return size === 1 ? "1 byte" : `${size} bytes`;
  let value = size;
  let unit = -1;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}
