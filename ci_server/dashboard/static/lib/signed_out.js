// The end of the reader's session under a page that is open: it stays as it is, and asks for nothing
// any more.
import { Store } from "./store.js";

class SignedOut extends Store {
  /** Why, in the words of the server; null while one is signed in. */
  reason = null;

  /** Nobody is signed in any more. */
  tell(reason) {
    if (this.reason !== null) return;
    this.reason = reason;
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close(); // they hide it
    this.changed();
  }
}

export const signedOut = new SignedOut();
