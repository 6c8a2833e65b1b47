// The results of a valuation, from the files that the engine left.
import { request, requestJson } from "../lib/api.js";
import { readVector } from "../lib/npy.js";
import { useEffect, useReducer, useState } from "../lib/ui.js";

const DIRECTORY = "output";
/** The file that the calculation engine leaves in every job. */
export const RESULTS_FILE = `${DIRECTORY}/results.json`;
const MOST_BYTES = 64 << 20;

/** `[results, error, again]`; the first two are null while the files are fetched, or `wanted` is false. */
export function useResults(jobId, wanted) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const [turn, again] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    if (!wanted) return;
    setError(null);
    load(jobId).then(setFound, setError);
  }, [jobId, wanted, turn]);
  return [found, error, again];
}

/** `{results, values, flows}`; without values when there are none, or too many for a page. */
async function load(jobId) {
  const files = `jobs/${encodeURIComponent(jobId)}/artifacts`;
  const there = new Map((await requestJson(files)).map((file) => [file.path, file]));
  const at = (name) => `${DIRECTORY}/${name}`;
  if (!there.has(RESULTS_FILE)) return { results: null, files: [...there.values()] };
  const json = (name) => (there.has(at(name)) ? requestJson(`${files}/${at(name)}`) : null);
  const values = there.get(at("npv.npy"));
  const [results, flows, npv] = await Promise.all([
    json("results.json"),
    json("cash_flows.json"),
    values && values.size <= MOST_BYTES ? request(`${files}/${values.path}`) : null,
  ]);
  return {
    results,
    flows,
    values: npv && readVector(await npv.arrayBuffer()),
    files: [...there.values()],
  };
}
