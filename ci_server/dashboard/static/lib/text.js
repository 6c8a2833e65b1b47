// Text of the server's, as pages show it.

/** A message as a sentence: "The job failed." for "the job failed". */
export const sentence = (text) =>
  text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
