// A page whose modules could not be loaded is loaded again, a few times: browsers break all
// connections when a network interface comes or goes, and do not ask for modules again.
(() => {
  const MOST = 6;
  const FIRST_PAUSE_MS = 200;
  const FORGOTTEN_MS = 30_000;
  const again = ({ target }) => {
    if (target.tagName !== "SCRIPT") return;
    removeEventListener("error", again, true); // others may fail for the same reason
    let { count, at } = JSON.parse(sessionStorage.getItem("reloads") ?? '{"count": 0, "at": 0}');
    if (Date.now() - at > FORGOTTEN_MS) count = 0;
    if (count >= MOST) return;
    sessionStorage.setItem("reloads", JSON.stringify({ count: count + 1, at: Date.now() }));
    setTimeout(() => location.reload(), FIRST_PAUSE_MS * 2 ** count);
  };
  addEventListener("error", again, true);
})();
