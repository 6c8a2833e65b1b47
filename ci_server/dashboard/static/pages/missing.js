// What is shown at an address that no page has.
import { Missing } from "../lib/missing.js";
import { showPage } from "../lib/shell.js";
import { html } from "../lib/ui.js";

const WHAT = "The link may be incomplete, or made for another version of this server.";

showPage(() => html`<${Missing} title="There is no such page" what=${WHAT} />`);
