// The parts of Preact and htm that pages use, in one place.
import { Fragment, h, render } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export { Fragment, h, render };
export {
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "../vendor/hooks.js";

/** Markup as a template string. Text in it is always text: Preact escapes it. */
export const html = htm.bind(h);
