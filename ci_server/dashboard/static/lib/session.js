// Who is signed in, and leaving.
import { SESSION, leaveForLogin, request, requestJson } from "./api.js";

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

/**
 * Go to the page where one signs in if that is why a stream was refused, which an EventSource does
 * not say. A server that does not answer is no reason to leave.
 */
export async function leaveUnlessSignedIn() {
  try {
    const session = await currentSession();
    if (session.user === null && session.error.code !== "not_local") leaveForLogin();
  } catch (error) {
    if (error.name !== "ApiError" && !("code" in error)) throw error;
  }
}

// The browser may show a page again as it was when it was left, after its user signed out.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
