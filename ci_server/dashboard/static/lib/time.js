// Times and durations, as people say them.

const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
];

/** How long: "0.8 s", "42 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function duration(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  for (const [index, [size, name]] of UNITS.entries()) {
    if (whole < size) continue;
    const [smaller, smallerName] = UNITS[index + 1] ?? [1, "s"];
    const rest = Math.floor((whole % size) / smaller);
    return `${Math.floor(whole / size)} ${name}` + (rest ? ` ${rest} ${smallerName}` : "");
  }
  return `${whole} s`;
}

/** How long ago, in one unit: "just now", "5 min ago", "3 d ago". */
export function age(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (seconds < 10) return "just now";
  const [size, name] = UNITS.find(([each]) => seconds >= each) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${name} ago`;
}

/** A function that formats times like `Intl.DateTimeFormat`, which is slow to make: made once. */
function formatOf(options) {
  let format = null;
  return (time) => (format ??= new Intl.DateTimeFormat(undefined, options)).format(new Date(time));
}

/** A moment in the reader's own time zone, to the second. */
export const moment = formatOf({ dateStyle: "medium", timeStyle: "medium" });

/** The same, to the minute. */
export const minute = formatOf({ dateStyle: "medium", timeStyle: "short" });

/** The time of day in the reader's own time zone, to the second. */
export const timeOfDay = formatOf({ timeStyle: "medium", hourCycle: "h23" });

/** Seconds that a job ran, or has run so far; null before its start. */
export function ranSeconds(job, now = Date.now()) {
  if (!job.start_time) return null;
  return ((job.end_time ? Date.parse(job.end_time) : now) - Date.parse(job.start_time)) / 1000;
}
