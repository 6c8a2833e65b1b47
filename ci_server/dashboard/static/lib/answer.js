// One request of the API for a part of a page.
import { requestJson } from "./api.js";
import { useLatest } from "./latest.js";
import { useCallback, useEffect, useState } from "./ui.js";

/** `[found, error, load]`: the JSON at a path of the API. `load` asks again. */
export function useAnswer(path) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const asking = useLatest();
  const load = useCallback(async () => {
    const isLatest = asking();
    setError(null);
    try {
      const answer = await requestJson(path);
      if (isLatest()) setFound(answer);
    } catch (problem) {
      if (isLatest()) setError(problem);
    }
  }, [path]);
  useEffect(() => {
    load();
  }, [path]);
  return [found, error, load];
}
