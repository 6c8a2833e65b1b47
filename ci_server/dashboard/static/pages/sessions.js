// Where the reader is signed in, and signing out there.
import { useNow } from "../lib/clock.js";
import { useLatest } from "../lib/latest.js";
import { ownSessions, signOut, signOutElsewhere, signOutOf } from "../lib/session.js";
import { Problem, showPage } from "../lib/shell.js";
import { signedOut } from "../lib/signed_out.js";
import { useStore } from "../lib/store.js";
import { age, minute, moment } from "../lib/time.js";
import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from "../lib/ui.js";
import { browserName } from "./sessions/browser_name.js";

const RENEWED_MS = 30_000;

function SessionsPage() {
  const { sessions, error, load, act, done } = useSessions();
  const heading = useRef(null);
  const isOver = useStore(signedOut).reason !== null;
  useLayoutEffect(() => {
    if (done) heading.current.focus(); // the button that was pressed is gone
  }, [done]);
  const others = sessions?.filter((each) => !each.current) ?? [];
  const leaveAll = () => act(signOutElsewhere, "Signed out everywhere else.");
  return html`<div class="sessions">
    <h1 tabindex="-1" ref=${heading}>Your sessions</h1>
    <p class="faint">The browsers that are signed in as you. API keys are not listed.</p>
    <p role="status">${done?.words}</p>
    ${error && html`<${Problem} error=${error} retry=${load} />`}
    ${sessions?.length === 0 && html`<p>No browser is signed in as you.</p>`}
    ${sessions?.length > 0 &&
    html`<ul>
      ${sessions.map((each) => html`<${Session} key=${each.id} session=${each} act=${!isOver && act} />`)}
    </ul>`}
    ${others.length > 0 && !isOver &&
    html`<button type="button" onClick=${leaveAll}>Sign out everywhere else</button>`}
    ${sessions?.length > 0 && !others.length && html`<p>You are signed in nowhere else.</p>`}
  </div>`;
}

/** The reader's sessions, and what changes them: `act` gets what to do, and what to say of it. */
function useSessions() {
  const [sessions, setSessions] = useState(null);
  const [error, setError] = useState(null);
  const [done, setDone] = useState(null);
  const asking = useLatest();
  const load = useCallback(async () => {
    const isLatest = asking();
    try {
      const found = await ownSessions();
      if (!isLatest()) return true; // what is asked for now is newer
      setSessions(found);
      setError(null);
      return true;
    } catch (problem) {
      if (isLatest()) setError(problem);
      return false;
    }
  }, []);
  const act = async (change, words) => {
    setDone(null);
    try {
      await change();
    } catch (problem) {
      if (problem.code !== "session_not_found") return setError(problem);
      // It has ended meanwhile, as it was to.
    }
    if (await load()) setDone({ words });
  };
  useEffect(() => {
    load();
  }, []);
  return { sessions, error, load, act, done };
}

function Session({ session, act }) {
  const now = useNow(RENEWED_MS);
  const name = browserName(session.agent);
  const leave = () => act(() => (session.current ? signOut() : signOutOf(session)), `Signed out: ${name}.`);
  return html`<li>
    <div class="session-what">
      <strong title=${session.agent}><bdi>${name}</bdi></strong>
      ${session.current && html`<span class="this-one">this one</span>`}
      <span class="faint"
        >${session.role}${session.address && html`, from <bdi>${session.address}</bdi>`}</span
      >
    </div>
    <dl id=${`times-${session.id}`}>
      <div><dt>Signed in</dt><dd><${Time} at=${session.begun_at} now=${now} /></dd></div>
      <div>
        <dt>Last used</dt>
        <dd>${session.current ? "now" : html`<${Time} at=${session.used_at} now=${now} />`}</dd>
      </div>
      ${isSooner(session.idle_ends_at, session.ends_at) &&
      html`<div><dt>Ends if not used</dt><dd><${Minute} at=${session.idle_ends_at} /></dd></div>`}
      <div><dt>Ends at the latest</dt><dd><${Minute} at=${session.ends_at} /></dd></div>
    </dl>
    ${act &&
    html`<button type="button" aria-label=${`Sign out ${name}`} aria-describedby=${`times-${session.id}`}
      onClick=${leave}>Sign out</button>`}
  </li>`;
}

const Time = ({ at, now }) => html`<time datetime=${at} title=${moment(at)}>${age(at, now)}</time>`;

const Minute = ({ at }) => html`<time datetime=${at}>${minute(at)}</time>`;

const isSooner = (time, other) => Date.parse(time) < Date.parse(other);

showPage(SessionsPage);
