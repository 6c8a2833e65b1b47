// Uploads that tell how far they are, which fetch does not.
import { ApiError, apiUrl, endSession, errorIn } from "./api.js";

/**
 * Send a form. Returns what ends the upload, and a promise of the answer's JSON, which is rejected
 * with ApiError.
 * @param {(share: number) => void} onProgress gets the sent part, from 0 to 1
 */
export function upload(path, form, onProgress) {
  const sending = new XMLHttpRequest();
  const answer = new Promise((resolve, reject) => {
    sending.open("POST", apiUrl(path));
    sending.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total) onProgress(event.loaded / event.total);
    };
    sending.onload = () => {
      const body = parsed(sending.responseText);
      if (sending.status === 401) endSession(errorIn(401, body ?? {}));
      else if (sending.status < 400 && body) resolve(body);
      else reject(errorIn(sending.status, body ?? {}));
    };
    sending.onerror = () =>
      reject(new ApiError(0, "unreachable", "The connection broke before the upload was complete."));
    sending.onabort = () => reject(new ApiError(0, "aborted", "The upload was cancelled."));
    sending.send(form);
  });
  return { answer, abort: () => sending.abort() };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // an answer of a proxy's
  }
}
