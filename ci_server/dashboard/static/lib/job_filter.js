// Which jobs a list shows: in the address of the page, and as parameters of the API.

/** Outcomes of the API, in the order in which people meet them. */
export const OUTCOMES = ["queued", "running", "passed", "failed", "cancelled"];

/** How far back a list may go: what the address of the page says, milliseconds, and in words. */
export const PERIODS = [
  ["1h", 3_600_000, "the last hour"],
  ["24h", 86_400_000, "the last 24 hours"],
  ["7d", 7 * 86_400_000, "the last 7 days"],
  ["30d", 30 * 86_400_000, "the last 30 days"],
];

/** How many jobs are asked for at once. */
export const PAGE = 50;
const MOST_AT_ONCE = 500; // rows that are asked for at once, when a whole list is read again

const TEXTS = ["outcome", "q", "user", "name", "within", "since", "until"];

export const NO_FILTER = Object.freeze({
  outcome: "",
  q: "",
  user: "",
  name: "",
  within: "",
  since: "",
  until: "",
  mine: false,
  labels: Object.freeze([]),
});

/** The filter in the query string of a page's address; what it does not know is ignored. */
export function readFilter(search) {
  const given = new URLSearchParams(search);
  const filter = { ...NO_FILTER, mine: given.get("mine") === "true" };
  for (const name of TEXTS) filter[name] = (given.get(name) ?? "").trim();
  filter.labels = [...new Set(given.getAll("label"))].filter((label) => label.trim());
  if (!OUTCOMES.includes(filter.outcome)) filter.outcome = "";
  if (!PERIODS.some(([name]) => name === filter.within)) filter.within = "";
  return filter;
}

/** The query string of a page that has this filter, with its "?", or "". */
export function writeFilter(filter) {
  const query = new URLSearchParams();
  for (const name of TEXTS) if (filter[name].trim()) query.set(name, filter[name].trim());
  if (filter.mine) query.set("mine", "true");
  for (const label of filter.labels) query.append("label", label);
  return query.size ? `?${query}` : "";
}

/** Parameters of the API for a list of such jobs. A period is one that ends now. */
export function apiParameters(filter, now = Date.now()) {
  const { within, labels, mine, since, until, ...others } = filter;
  const period = PERIODS.find(([name]) => name === within);
  return {
    ...others,
    label: labels,
    mine: mine || null,
    since: period ? new Date(now - period[1]).toISOString() : utc(since),
    until: period ? null : utc(until),
  };
}

/** How many jobs are asked for where `count` are to be shown. */
export const limitFor = (count = PAGE) => Math.min(Math.max(count, PAGE), MOST_AT_ONCE);

/** Whether a job that has this event may come into the list, or leave it: the server has the say. */
export function mayConcern(filter, event) {
  if (filter.user && event.user !== filter.user) return false;
  if (event.kind !== "submitted") return Boolean(filter.outcome || filter.q);
  return !filter.name || event.facts.name === filter.name;
}

export const isFiltered = (filter) => writeFilter(filter) !== "";

/** RFC 3339 of what a field for date and time has, which is in the reader's zone. */
function utc(local) {
  const time = local ? new Date(local) : null;
  return time && !Number.isNaN(time.valueOf()) ? time.toISOString() : local;
}
