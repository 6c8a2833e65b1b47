// Asks for what the page of a job shows first, while its other modules are loaded.
import { SESSION, requestEarly } from "../lib/api.js";
import { LAST_PIECES } from "../log/bytes.js";
import { PATH } from "./path.js";

requestEarly(`${PATH}/logs`, { headers: { Range: LAST_PIECES } });
requestEarly(PATH);
requestEarly(SESSION);
