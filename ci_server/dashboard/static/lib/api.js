// Requests to the server that this page came from, which may be served below a path of a proxy.

/** The address of the server, with the path that a proxy may have put before it. */
export const ROOT = new URL("../../../", import.meta.url);

/** What went wrong with a request, in the words of the server. */
export class ApiError extends Error {
  /**
   * @param {number} status of HTTP; 0 when the server could not be reached
   * @param {string} code the stable code of the error
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * The address of a path of the API; parameters that are null, undefined or "" are left out, and an
 * array is given once for each of its values.
 */
export function apiUrl(path, parameters = {}) {
  const url = new URL(path.replace(/^\//, ""), ROOT);
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") url.searchParams.append(name, each);
    }
  }
  return url;
}

/** The address of a page of the dashboard, such as "jobs/ID". */
export const pageUrl = (path = "") => new URL("ui/" + path, ROOT);

/**
 * Ask the server. Returns the response when its status is below 400; throws ApiError otherwise.
 */
export async function request(path, { parameters, ...options } = {}) {
  let response;
  try {
    response = await fetch(apiUrl(path, parameters), { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer. Is it running?");
  }
  if (response.status >= 400) throw await errorOf(response);
  return response;
}

/** Ask the server for JSON. Throws ApiError. */
export async function requestJson(path, options) {
  return (await request(path, options)).json();
}

async function errorOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // An answer of a proxy's, which is no JSON.
  }
  const { code = `http_${response.status}`, message } = body.error ?? {};
  const said = message ?? body.detail ?? `The server answered ${response.status}.`;
  return new ApiError(response.status, code, String(said));
}
