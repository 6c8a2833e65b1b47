// The time, for what counts seconds.
import { useEffect, useState } from "./ui.js";

/** Now, as `Date.now()`; while `running`, the component is drawn again each second. */
export function useNow(running) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!running) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [running]);
  return running ? now : Date.now();
}
