// Who reads the page, and what they may do: to explain, and to offer nothing that is refused. The
// server decides.
import { requestJsonPatiently } from "./api.js";
import { signedOut } from "./signed_out.js";
import { useStore } from "./store.js";
import { useEffect, useState } from "./ui.js";

/** The answer of `GET /whoami`; null while it is not known, and after the session has ended. */
export function useCaller() {
  const [caller, setCaller] = useState(null);
  useEffect(() => {
    requestJsonPatiently("whoami").then(setCaller, () => {}); // what the page shows says what is wrong
  }, []);
  return useStore(signedOut).reason === null ? caller : null;
}

/** `caller` is that of `useCaller`. */
export const maySubmit = (caller) => caller !== null && caller.role !== "viewer";

/** Why submitting is not offered. */
export const whyNotSubmit = (caller) =>
  caller === null
    ? "It is not known yet whether you may submit jobs."
    : `Your role (${caller.role}) may watch jobs, not submit them.`;

const isOfCaller = (caller, job) => job.tenant === caller.tenant && job.user === caller.user;

/** An admin of the operator's tenant may cancel jobs of others; which tenant that is, is not told. */
export const mayCancel = (caller, job) =>
  caller !== null && (caller.role === "admin" || (maySubmit(caller) && isOfCaller(caller, job)));

export const mayRunAgain = (caller, job) =>
  mayCancel(caller, job) && job.tenant === caller.tenant;
