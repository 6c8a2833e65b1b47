// Who is signed in, and leaving.
import { ApiError, SESSION, endSession, leaveForLogin, request, requestJson } from "./api.js";

const LATER_MS = 1_000; // than the end of a session, which clocks may not agree about
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Who is asking, and how one can sign in; `user` is null when nobody is. Throws ApiError. */
export const currentSession = () => requestJson(SESSION);

/** Sign in with an API key; who that is. Throws ApiError. */
export const signIn = (key) =>
  requestJson(SESSION, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ api_key: key }),
  });

/** End the session, and go to the page where one signs in. Throws ApiError. */
export async function signOut() {
  await request(SESSION, { method: "DELETE" });
  return leaveForLogin();
}

/** Where one is signed in: the sessions that `GET /sessions` tells. Throws ApiError. */
export const ownSessions = () => requestJson("sessions");

/** Sign one browser out, which is not this one. Throws ApiError, also when it is signed out already. */
export const signOutOf = ({ id }) => request(`sessions/${id}`, { method: "DELETE" });

/** Sign all browsers out but this one. Throws ApiError. */
export const signOutElsewhere = () => request("sessions", { method: "DELETE" });

/**
 * Whether the session has ended: a stream that is refused does not say why, and one that is open goes
 * on. A server that does not answer says nothing about that.
 */
export async function checkSession() {
  try {
    const session = await currentSession();
    if (session.user === null && session.error.code !== "not_local") endSession(session.error);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

/** Ask when the session is over, and when the reader comes back to the page. */
export function watchSession({ session }) {
  if (!session) return;
  const left = Date.parse(session.ends_at) - Date.now() + LATER_MS;
  if (left < LONGEST_TIMER_MS) setTimeout(checkSession, Math.max(left, LATER_MS));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) checkSession();
  });
}

// The browser may show a page again as it was when it was left, after its user signed out.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
