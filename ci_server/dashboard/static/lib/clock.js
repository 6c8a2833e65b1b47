// The time of day for components that show how much of it has passed.
import { signedOut } from "./signed_out.js";
import { useStore } from "./store.js";
import { useEffect, useState } from "./ui.js";

/**
 * Milliseconds, renewed so often while the component is shown, and the page is kept up to date;
 * `null` stands still.
 */
export function useNow(wantedMs) {
  const everyMs = useStore(signedOut).reason === null ? wantedMs : null;
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (everyMs === null) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
