// The corner of the bar that says who is signed in.
import { SESSION, pageUrl, requestJsonPatiently } from "./api.js";
import { signOut, watchSession } from "./session.js";
import { signedOut } from "./signed_out.js";
import { useStore } from "./store.js";
import { html, useEffect, useState } from "./ui.js";

/** Where Google's identity-aware proxy forgets who one is. */
const PROXY_SIGN_OUT = "/_gcp_iap/clear_login_cookie";

const WITHOUT_SIGN_IN = {
  local: "This server has no users yet: every program on its machine may use it.",
  development: "CI_ENVIRONMENT=development: no sign-in on this machine.",
};

/** Who is signed in, and signing out; nothing while that is not known. */
export function SignedIn() {
  const [session, setSession] = useState(null);
  const [problem, setProblem] = useState("");
  useStore(signedOut);
  useEffect(() => {
    const begin = (found) => {
      setSession(found);
      watchSession(found);
    };
    requestJsonPatiently(SESSION).then(begin, () => {}); // whatever else the page asks for says what is wrong
  }, []);
  if (!session?.user || signedOut.reason !== null) return null;
  const leave = () => signOut().catch((error) => setProblem(error.message));
  return html`
    <span class="caller" title=${WITHOUT_SIGN_IN[session.credential]}>
      <span class="unseen">Signed in as </span>${session.user}${" "}
      <span class="faint">${session.role}, ${session.tenant}</span>
    </span>
    <${SignOut} session=${session} leave=${leave} />
    ${problem && html`<span role="alert">${problem}</span>`}
  `;
}

/** The way out; for whom a proxy signs in with each request, where that is. */
function SignOut({ session: { session, credential }, leave }) {
  if (session) {
    return html`<a href=${pageUrl("sessions")} title="Where you are signed in">Sessions</a>
      <button type="button" onClick=${leave}>Sign out</button>`;
  }
  if (credential === "iap-assertion") {
    return html`<a href=${PROXY_SIGN_OUT} title="Of the identity-aware proxy in front of this server"
      >Sign out</a>`;
  }
  if (credential in WITHOUT_SIGN_IN) return null;
  return html`<span class="faint">signed in by a proxy: sign out there</span>`;
}
