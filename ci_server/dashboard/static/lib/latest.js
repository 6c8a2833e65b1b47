// Answers that may come in another order than they were asked for.
import { useRef } from "./ui.js";

/**
 * A function to call before each request for the same thing. It returns one that tells whether that
 * request is the latest: the answer of an older one is out of date, and so is its error.
 */
export function useLatest() {
  const asked = useRef(0);
  return useRef(() => {
    const mine = ++asked.current;
    return () => mine === asked.current;
  }).current;
}
