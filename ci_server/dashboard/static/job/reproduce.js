// The command lines that do again what a job did.
import { commandLine } from "../lib/shell_quote.js";

const MIB = 1 << 20;

/** `ci submit …` with the settings that differ from nothing, to be run in the project's directory. */
export function submitLine(job) {
  const { settings } = job;
  const limits = settings?.limits ?? {};
  return commandLine([
    "ci",
    "submit",
    job.name && job.name !== "test" ? job.name : null,
    option("--image", job.image),
    option("--timeout", limits.timeout_seconds && `${limits.timeout_seconds}s`),
    option("--memory", limits.memory_mb && `${limits.memory_mb}MB`),
    option("--cpu", limits.cpu_percent),
    option("--retries", settings?.retries || null),
    option("--priority", job.priority || null),
    (settings?.env ?? []).map((name) => ["--env", `${name}=…`]).flat(),
    (settings?.artifacts ?? []).map((pattern) => ["--artifacts", pattern]).flat(),
    Object.entries(job.labels ?? {}).flatMap(([key, value]) => ["--label", `${key}=${value}`]),
    settings?.install && settings.install.length === 0 ? "--no-install" : null,
    settings?.tty ? "--tty" : null,
    job.private ? "--private" : null,
    (job.secrets ?? []).flatMap((name) => ["--secret", name]),
    "--",
    job.command,
  ]);
}

/** `docker run …` with the job's image, limits and command, in the project's directory. */
export function dockerLine(job, image) {
  const limits = job.settings?.limits ?? {};
  const words = commandLine([
    "docker",
    "run",
    "--rm",
    job.settings?.tty ? "--tty" : null,
    option("--memory", limits.memory_mb && `${limits.memory_mb}m`),
    option("--cpus", limits.cpu_percent && String(limits.cpu_percent / 100)),
    option("--pids-limit", limits.pids),
    option("--shm-size", limits.shm_mb && `${limits.shm_mb * MIB}`),
    limits.network === "none" ? ["--network", "none"] : null,
    (job.settings?.env ?? []).flatMap((name) => ["--env", name]),
    (job.secrets ?? []).flatMap((name) => ["--env", name]),
    "--workdir",
    "/workspace",
  ]);
  return `${words} --volume "$PWD":/workspace ${commandLine([image, job.command])}`;
}

const option = (name, value) => (value === null || value === undefined ? null : [name, String(value)]);
