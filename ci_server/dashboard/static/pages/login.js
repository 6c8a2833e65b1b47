// Signing in: with an API key, or with the issuer that the operator has set up.
import { ROOT, apiUrl, pageUrl } from "../lib/api.js";
import { currentSession, signIn } from "../lib/session.js";
import { Problem, showPage } from "../lib/shell.js";
import { sentence } from "../lib/text.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/ui.js";

/** The page to go to afterwards: one of the dashboard's, whatever the address of this one says. */
function nextPage() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "";
  const url = new URL(wanted.replace(/^\/+/, ""), ROOT);
  const isOurs = url.href.startsWith(pageUrl().href) && !url.href.startsWith(pageUrl("login").href);
  return isOurs ? url : pageUrl();
}

const pathOf = (url) => url.href.slice(ROOT.href.length - 1);

function LoginPage() {
  const [session, setSession] = useState(null);
  const [error, setError] = useState(null);
  const load = () => {
    setError(null);
    currentSession().then((found) => {
      if (found.user !== null) location.replace(nextPage());
      else setSession(found);
    }, setError);
  };
  useEffect(load, []);
  if (error) return html`<h1>Sign in</h1><${Problem} error=${error} retry=${load} />`;
  if (!session) return null;
  return html`<div class="login">
    <h1>Sign in</h1>
    <${Reason} error=${session.error} />
    ${session.sign_in.oidc && html`<${IssuerLink} name=${session.sign_in.oidc.name} />`}
    ${session.sign_in.api_key && html`<${KeyForm} />`}
  </div>`;
}

/** Why one has to sign in, unless that is because one never did. */
function Reason({ error }) {
  if (error.code === "unauthenticated") return null;
  if (error.code === "session_ended") return html`<p role="status">${sentence(error.message)}</p>`;
  if (error.code === "invalid_credentials") {
    return html`<p role="status">You are no longer signed in.</p>`;
  }
  return html`<${Problem} error=${error} />`;
}

function IssuerLink({ name }) {
  const start = apiUrl("session/oidc/start", { next: pathOf(nextPage()) });
  return html`<p><a class="button" href=${start}>Sign in with ${name}</a></p>`;
}

function KeyForm() {
  const field = useRef(null);
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  useLayoutEffect(() => field.current.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await signIn(field.current.value);
    } catch (problem) {
      setBusy(false);
      setError(problem);
      field.current.select();
      return;
    }
    location.replace(nextPage());
  };
  return html`<form onSubmit=${submit}>
    <label for="key">API key</label>
    <input
      id="key"
      ref=${field}
      type="password"
      required
      autocomplete="current-password"
      spellcheck="false"
      aria-describedby="key-hint"
      aria-invalid=${error ? "true" : "false"}
    />
    <button disabled=${isBusy}>Sign in</button>
    ${error && html`<${Problem} error=${error} />`}
    <p id="key-hint" class="faint">
      The key that you use with <code>ci login</code>. An operator of this server creates keys with${" "}
      <code>ci-admin key create</code>.
    </p>
  </form>`;
}

showPage(LoginPage);
