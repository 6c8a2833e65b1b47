// Answers that may arrive out of order.
import { useRef } from "./ui.js";

/**
 * Call the returned function before each request for the same thing. It returns a function that tells
 * whether that request is still the latest; the answers and errors of older ones are to be ignored.
 */
export function useLatest() {
  const asked = useRef(0);
  return useRef(() => {
    const mine = ++asked.current;
    return () => mine === asked.current;
  }).current;
}
