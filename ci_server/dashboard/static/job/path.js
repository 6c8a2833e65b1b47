// Which job the page is about.
import { ROOT } from "../lib/api.js";

export const JOB_ID = decodeURIComponent(location.pathname.slice(ROOT.pathname.length).split("/")[2]);

/** Of the job in the API. */
export const PATH = `jobs/${encodeURIComponent(JOB_ID)}`;
