// Asks for what the list of jobs shows first, while its other modules are loaded.
import { SESSION, requestEarly } from "../../lib/api.js";
import { apiParameters, limitFor, readFilter } from "../../lib/job_filter.js";

const filter = readFilter(location.search);
// A period begins at another moment when the list asks for it.
if (!filter.within) {
  const limit = limitFor(history.state?.count);
  requestEarly("jobs", { parameters: { ...apiParameters(filter), limit } });
}
requestEarly(SESSION);
requestEarly("whoami");
