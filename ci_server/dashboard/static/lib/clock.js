// The time of day for components that show how much of it has passed.
import { useEffect, useState } from "./ui.js";

/** Milliseconds, renewed so often while the component is shown; `null` stands still. */
export function useNow(everyMs) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (everyMs === null) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
