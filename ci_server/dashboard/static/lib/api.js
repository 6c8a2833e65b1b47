// Requests to the server that this page came from, which may be served below a path of a proxy.

import { signedOut } from "./signed_out.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const LONGEST_EARLY_MS = 10_000;

/**
 * The address of the server, with the path that a proxy may have put before it. This module is at
 * `ui/assets/VERSION/lib/` there.
 */
export const ROOT = new URL("../../../../", import.meta.url);

const early = new Map(); // by what is asked for: what ends the request, and its answer

/** The path of the API that tells who is signed in, which everybody may ask. */
export const SESSION = "session";

const NEVER = new Promise(() => {});
let isShown = false; // whether the page was told anything that it shows

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

  /** Whether the same request may be answered later: the network, a restart, a limit. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
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

/** The path of a file, for use in an address. */
export const encodedPath = (path) => path.split("/").map(encodeURIComponent).join("/");

/** The id in the address of this page, such as that of a job. */
export function idOfPage() {
  const [, , part = ""] = location.pathname.slice(ROOT.pathname.length).split("/");
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return part; // nothing has this id
  }
}

/** The address of a page of the dashboard, such as "jobs/ID". */
export const pageUrl = (path = "") => new URL("ui/" + path, ROOT);

const keyOf = (url, headers) => `${url} ${headers?.Range ?? ""}`;

/**
 * Ask for what `request` will ask for with the same options, while the page still loads its modules.
 * It is used once.
 */
export function requestEarly(path, { parameters, headers } = {}) {
  const url = apiUrl(path, parameters);
  const abort = new AbortController();
  const answer = fetch(url, { cache: "no-store", headers, signal: abort.signal });
  answer.catch(() => {}); // `request` asks again
  const key = keyOf(url, headers);
  early.set(key, { abort, answer });
  setTimeout(() => {
    if (early.delete(key)) abort.abort(); // nobody needed it, and the connection is for others
  }, LONGEST_EARLY_MS);
}

/** The answer to what was asked for early; undefined for all else. */
function earlyAnswer(url, { method = "GET", headers, signal }) {
  const key = keyOf(url, headers);
  const asked = method === "GET" ? early.get(key) : undefined;
  if (!asked) return undefined;
  early.delete(key);
  signal?.addEventListener("abort", () => asked.abort.abort());
  return asked.answer;
}

/**
 * Ask the server. Returns the response when its status is below 400; throws ApiError otherwise. When
 * nobody is signed in any more, it never settles: see `endSession`.
 */
export async function request(path, { parameters, ...options } = {}) {
  if (signedOut.reason !== null) return NEVER;
  const url = apiUrl(path, parameters);
  let response;
  try {
    response = await patientFetch(url, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (response.status === 401 && path !== SESSION) return endSession(await errorOf(response));
  if (response.status >= 400) throw await errorOf(response);
  if (path !== SESSION) isShown = true;
  return response;
}

/**
 * Nobody is signed in any more. A page that shows something stays, and says so; any other is left for
 * the one where one signs in. Never settles, so that whoever asked shows nothing.
 * @param {{code: string, message: string}} error why
 */
export function endSession({ code, message }) {
  if (!isShown) return leaveForLogin();
  signedOut.tell(code === "session_ended" ? message : "You are no longer signed in.");
  return NEVER;
}

/** The page where one signs in, which leads back to this one. */
export function loginUrl() {
  const here = location.pathname.slice(ROOT.pathname.length - 1) + location.search + location.hash;
  const login = pageUrl("login");
  login.searchParams.set("next", here);
  return login;
}

/** Go to the page where one signs in. Never settles. */
export function leaveForLogin() {
  location.replace(loginUrl());
  return NEVER;
}

/** Ask the server for JSON. Throws ApiError. */
export async function requestJson(path, options) {
  return jsonOf(await request(path, options));
}

/** The JSON of an answer. Throws ApiError, also when the connection breaks in the middle of it. */
export async function jsonOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (!(error instanceof SyntaxError)) throw unreachable();
    throw new ApiError(response.status, "not_json", "The answer cannot be read: it is not JSON.");
  }
}

const unreachable = () =>
  new ApiError(0, "unreachable", "The server does not answer. Is it running?");

/**
 * `fetch`, which repeats once what only asks: browsers break all connections when a network
 * interface comes or goes, as with each container on a developer's machine.
 */
async function patientFetch(url, options) {
  try {
    return await (earlyAnswer(url, options) ?? fetch(url, options));
  } catch (error) {
    if (error.name === "AbortError" || (options.method ?? "GET") !== "GET") throw error;
    await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE_MS));
    return fetch(url, options);
  }
}

/** The same, however long the server cannot be reached. Throws ApiError for other reasons. */
export async function requestJsonPatiently(path, options) {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await requestJson(path, options);
    } catch (error) {
      if (!error.isPassing) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

async function errorOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // An answer of a proxy's, which is no JSON.
  }
  return errorIn(response.status, body);
}

/** The error that the body of an answer tells. */
export function errorIn(status, body) {
  const { code = `http_${status}`, message } = body.error ?? {};
  const said = message ?? body.detail ?? `The server answered ${status}.`;
  return new ApiError(status, code, String(said));
}
