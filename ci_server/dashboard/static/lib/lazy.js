// Parts of a page whose modules are loaded after what is shown first.
import { Problem } from "./shell.js";
import { html, useEffect, useState } from "./ui.js";

const FAILED = {
  message: "This part of the page could not be loaded. Reload it; the server may have been updated.",
};

/**
 * A component that is loaded when it is first drawn, or before that by its `load()`.
 * @param {() => Promise<Function>} find
 */
export function lazy(find) {
  let Component = null;
  let loading = null;
  const load = () => {
    loading ??= find().then(
      (found) => (Component = found),
      () => (loading = null), // whoever draws it asks again
    );
    return loading;
  };
  function Lazy(properties) {
    const [state, setState] = useState("loading");
    useEffect(() => {
      // Also if it has been loaded since this was rendered: effects may run much later.
      load().then(() => setState(Component ? "loaded" : "failed"));
    }, []);
    if (Component) return html`<${Component} ...${properties} />`;
    return state === "failed" && html`<${Problem} error=${FAILED} retry=${() => location.reload()} />`;
  }
  return Object.assign(Lazy, { load });
}
