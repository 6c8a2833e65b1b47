// Jobs that have changed, and the list that they belong into.

/**
 * The list with these jobs in it, newest first like the server's lists, and those that are new
 * there. If there are more jobs than the list shows, older ones are left for later.
 */
export function merged(jobs, found, hasMore) {
  const rest = new Map(found.map((job) => [job.job_id, job]));
  const all = jobs.map((job) => rest.get(job.job_id) ?? job);
  for (const job of jobs) rest.delete(job.job_id);
  const last = all.at(-1);
  const added = [...rest.values()].filter(
    (job) => !hasMore || !last || job.submit_time >= last.submit_time,
  );
  for (const job of [...added].reverse()) {
    const place = all.findIndex((each) => each.submit_time <= job.submit_time);
    all.splice(place === -1 ? all.length : place, 0, job);
  }
  return { jobs: all, added };
}
