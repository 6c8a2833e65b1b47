// Command lines that a person can paste into a shell.

const HARMLESS = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** One word for a POSIX shell. */
export const quoted = (word) => (HARMLESS.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** A command line of words; null, undefined and false are left out. */
export function commandLine(words) {
  return words
    .flat()
    .filter((word) => word !== null && word !== undefined && word !== false)
    .map((word) => quoted(String(word)))
    .join(" ");
}
