// Colours of text, for both themes: what a program chose, with enough contrast to be read.
import { BOLD, DIM, INVERSE, RGB } from "./style.js";

const LEAST_CONTRAST = 4.6;

/** Backgrounds, text and the sixteen colours, as in base.css where it has them. */
const THEMES = {
  light: {
    back: 0xffffff,
    text: 0x1f2328,
    // prettier-ignore
    sixteen: [
      0x24292f, 0xb3161b, 0x11703a, 0x7a5200, 0x0756b8, 0x8250df, 0x1b6f79, 0x59636e,
      0x4a525a, 0xcf222e, 0x1a7f37, 0x8a5c00, 0x0969da, 0x9a4fe0, 0x3192aa, 0x8c959f,
    ],
  },
  dark: {
    back: 0x0d1117,
    text: 0xe6edf3,
    // prettier-ignore
    sixteen: [
      0x6e7681, 0xff7b72, 0x3fb950, 0xd29922, 0x58a6ff, 0xbc8cff, 0x39c5cf, 0xb1bac4,
      0x8b949e, 0xffa198, 0x56d364, 0xe3b341, 0x79c0ff, 0xd2a8ff, 0x56d4dd, 0xffffff,
    ],
  },
};

const MOST_KEPT = 5_000;
const kept = new Map();

/** `{color, background}` as values of CSS; "" for what is the default. */
export function coloursOf(style) {
  let found = kept.get(style);
  if (!found) {
    if (kept.size >= MOST_KEPT) kept.clear();
    found = computed(style);
    kept.set(style, found);
  }
  return found;
}

function computed({ fg, bg, flags }) {
  if (fg === null && bg === null && !(flags & (DIM | INVERSE))) return { color: "", background: "" };
  const light = inTheme(THEMES.light, fg, bg, flags);
  const dark = inTheme(THEMES.dark, fg, bg, flags);
  const filled = bg !== null || flags & INVERSE;
  return {
    color: both(light.text, dark.text),
    background: filled ? both(light.back, dark.back) : "",
  };
}

function inTheme(theme, fg, bg, flags) {
  let text = fg === null ? theme.text : rgbOf(fg, theme, flags & BOLD);
  let back = bg === null ? theme.back : rgbOf(bg, theme);
  if (flags & INVERSE) [text, back] = [back, text];
  if (flags & DIM) text = mixed(text, back, 0.35);
  return { text: readable(text, back), back };
}

function rgbOf(colour, theme, bold = false) {
  if (colour >= RGB) return colour - RGB;
  if (colour < 16) return theme.sixteen[bold && colour < 8 ? colour + 8 : colour];
  if (colour >= 232) return (8 + (colour - 232) * 10) * 0x010101;
  const [red, green, blue] = [36, 6, 1].map((unit) => Math.floor((colour - 16) / unit) % 6);
  return level(red) * 65536 + level(green) * 256 + level(blue);
}

const level = (step) => (step ? 55 + step * 40 : 0);

/** The colour, made darker or lighter until it can be read on this background. */
function readable(text, back) {
  const towards = contrast(0, back) > contrast(0xffffff, back) ? 0 : 0xffffff;
  for (let share = 0; share < 1; share += 0.1) {
    const tried = mixed(text, towards, share);
    if (contrast(tried, back) >= LEAST_CONTRAST) return tried;
  }
  return towards;
}

const channels = (colour) => [colour >> 16, (colour >> 8) & 255, colour & 255];

function mixed(colour, other, share) {
  const others = channels(other);
  const [red, green, blue] = channels(colour).map((each, at) =>
    Math.round(each + (others[at] - each) * share),
  );
  return red * 65536 + green * 256 + blue;
}

/** Relative luminance and contrast as WCAG 2.2 defines them. */
function luminance(colour) {
  const [red, green, blue] = channels(colour).map((each) => {
    const part = each / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
  const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
}

const hex = (colour) => `#${colour.toString(16).padStart(6, "0")}`;
const both = (light, dark) => `light-dark(${hex(light)}, ${hex(dark)})`;
