// A page whose modules could not be loaded is loaded again, once in a while: browsers break all
// connections when a network interface comes or goes, and do not ask for modules again.
(() => {
  const PAUSE_MS = 10_000;
  const again = (event) => {
    if (event.target.tagName !== "SCRIPT") return;
    const last = Number(sessionStorage.getItem("reloaded") ?? 0);
    if (Date.now() - last < PAUSE_MS) return;
    sessionStorage.setItem("reloaded", Date.now());
    location.reload();
  };
  addEventListener("error", again, true);
})();
