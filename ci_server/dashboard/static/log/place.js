// Places in a log as parts of an address: `#o1200`, or `#o1200-3400` for lines from one to another.
// Offsets, not line numbers: they are known without counting, and do not change.

const PLACE = /^#o(\d{1,15})(?:-(\d{1,15}))?$/;

/** `{from, to}` that a hash names, or null. */
export function placeOf(hash) {
  const found = PLACE.exec(hash);
  if (!found) return null;
  const [from, to] = [Number(found[1]), Number(found[2] ?? found[1])];
  return from <= to ? { from, to } : { from: to, to: from };
}

/** The hash that names lines, by the offsets at which they begin. */
export const hashOf = ({ from, to }) => (from === to ? `#o${from}` : `#o${from}-${to}`);
