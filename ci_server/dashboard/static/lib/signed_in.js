// The corner of the bar that says who is signed in.
import { currentSession, signOut } from "./session.js";
import { html, useEffect, useState } from "./ui.js";

/** Where Google's identity-aware proxy forgets who one is. */
const PROXY_SIGN_OUT = "/_gcp_iap/clear_login_cookie";

const HINTS = {
  local: "This server has no users yet: every program on its machine may use it.",
  development: "CI_ENVIRONMENT=development: no sign-in on this machine.",
  "iap-header": "Signed in by the proxy in front of this server, which is where you sign out.",
  "iap-assertion": "Signed in by the identity-aware proxy in front of this server.",
};

/** Who is signed in, and signing out; nothing while that is not known. */
export function SignedIn() {
  const [session, setSession] = useState(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    // Whatever else the page asks for says what is wrong.
    currentSession().then(setSession, () => {});
  }, []);
  if (!session?.user) return null;
  const leave = () => signOut().catch((error) => setProblem(error.message));
  return html`
    <span class="caller" title=${HINTS[session.credential]}>
      <span class="unseen">Signed in as </span>${session.user}${" "}
      <span class="faint">${session.role}, ${session.tenant}</span>
    </span>
    ${session.session && html`<button type="button" onClick=${leave}>Sign out</button>`}
    ${session.credential === "iap-assertion" && html`<a href=${PROXY_SIGN_OUT}>Sign out</a>`}
    ${problem && html`<span role="alert">${problem}</span>`}
  `;
}
