// Which job the page is about.
import { idOfPage } from "../lib/api.js";

export const JOB_ID = idOfPage();

/** Of the job in the API. */
export const PATH = `jobs/${encodeURIComponent(JOB_ID)}`;
