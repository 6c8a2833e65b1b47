// How a piece of text looks: what the escape sequences before it chose.

export const BOLD = 1;
export const DIM = 2;
export const ITALIC = 4;
export const UNDERLINE = 8;
export const INVERSE = 16;
export const STRIKE = 32;

/** Added to a colour of 24 bits, to tell it from one of the 256. */
export const RGB = 0x1000000;

const MOST_INTERNED = 20_000;
const interned = new Map();

/**
 * A style. The same values give the same object, so that styles are compared by `===`.
 * @param {number | null} fg 0 to 255, or `RGB` + 24 bits, or null for the default
 * @param {number | null} bg the same
 * @param {number} flags
 * @param {string | null} link an http(s) address
 */
export function styleOf(fg, bg, flags, link) {
  const key = `${fg},${bg},${flags},${link ?? ""}`;
  let style = interned.get(key);
  if (!style) {
    if (interned.size >= MOST_INTERNED) interned.clear();
    style = { fg, bg, flags, link };
    interned.set(key, style);
  }
  return style;
}

export const PLAIN = styleOf(null, null, 0, null);

const FLAGS_ON = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: INVERSE, 9: STRIKE, 21: UNDERLINE };
const FLAGS_OFF = {
  22: BOLD | DIM,
  23: ITALIC,
  24: UNDERLINE,
  27: INVERSE,
  29: STRIKE,
};

/**
 * The style after `ESC [ parameters m` (ECMA-48, 8.3.117; colours by ISO 8613-6, with `;` or `:`).
 */
export function afterSgr(style, parameters) {
  let { fg, bg, flags } = style;
  const fields = parameters.split(";");
  for (let at = 0; at < fields.length; at += 1) {
    const parts = fields[at].split(":");
    const code = Number(parts[0] || 0);
    if (code === 38 || code === 48 || code === 58) {
      const [colour, used] = parts.length > 1 ? [ofParts(parts), 0] : ofFields(fields, at + 1);
      at += used;
      if (code === 38 && colour !== undefined) fg = colour;
      if (code === 48 && colour !== undefined) bg = colour;
    } else if (code === 0) {
      fg = bg = null;
      flags = 0;
    } else if (code === 4 && parts[1] === "0") flags &= ~UNDERLINE;
    else if (code in FLAGS_ON) flags |= FLAGS_ON[code];
    else if (code in FLAGS_OFF) flags &= ~FLAGS_OFF[code];
    else if (code >= 30 && code <= 37) fg = code - 30;
    else if (code === 39) fg = null;
    else if (code >= 40 && code <= 47) bg = code - 40;
    else if (code === 49) bg = null;
    else if (code >= 90 && code <= 97) fg = code - 82;
    else if (code >= 100 && code <= 107) bg = code - 92;
  }
  return styleOf(fg, bg, flags, style.link);
}

/** The same style as part of a link, or of none. */
export const withLink = (style, link) => styleOf(style.fg, style.bg, style.flags, link);

const byte = (text) => (/^\d{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : undefined);

function rgb(red, green, blue) {
  const [r, g, b] = [red, green, blue].map((each) => byte(each || "0"));
  if (r === undefined || g === undefined || b === undefined) return undefined;
  return RGB + r * 65536 + g * 256 + b;
}

/** `38:5:n`, `38:2:r:g:b` or `38:2:space:r:g:b`. */
function ofParts([, kind, ...rest]) {
  if (kind === "5") return byte(rest[0] || "0");
  if (kind !== "2") return undefined;
  const [red, green, blue] = rest.length > 3 ? rest.slice(1) : rest;
  return rgb(red, green, blue);
}

/** `38;5;n` or `38;2;r;g;b`: the colour, and how many fields it took. */
function ofFields(fields, at) {
  if (fields[at] === "5") return [byte(fields[at + 1] || "0"), 2];
  if (fields[at] === "2") return [rgb(fields[at + 1], fields[at + 2], fields[at + 3]), 4];
  return [undefined, 0];
}
