// Requests to the service: the key, retries when it is busy, and errors in words.

const KEY = "aimat-key";
const RETRIES = 3;
const LONGEST_WAIT_MS = 8000;
let keyWanted = () => {};

/** Called with a sentence when the service asks for a key. */
export function onKeyWanted(call) { keyWanted = call; }

export function readKey() {
  try { return sessionStorage.getItem(KEY) || ""; } catch { return ""; }
}

export function writeKey(key) {
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch { /* storage may be switched off: the key then lasts until the page is left */ }
}

/** An answer that is not a success. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(path, { body, signal, accept = "application/json" } = {}) {
  const headers = { accept };
  if (body !== undefined) headers["content-type"] = "application/json";
  const key = readKey();
  if (key) headers.authorization = `Bearer ${key}`;
  const request = { method: body === undefined ? "GET" : "POST", headers, signal, credentials: "omit" };
  if (body !== undefined) request.body = JSON.stringify(body);
  for (let attempt = 0; ; attempt++) {
    let reply = null;
    try {
      reply = await fetch(path, request);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (attempt >= RETRIES) throw new ApiError(0, "The service can't be reached. Is it still running?");
    }
    if (reply && reply.ok) return reply;
    if (reply && ![429, 503].includes(reply.status)) throw await failure(reply);
    if (reply && attempt >= RETRIES) throw await failure(reply);
    const asked = reply ? Number(reply.headers.get("retry-after")) * 1000 : 0;
    await pause(Math.min(asked || 400 * 2 ** attempt, LONGEST_WAIT_MS), signal);
  }
}

function pause(ms, signal) {
  return new Promise((done, failed) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      failed(new DOMException("given up", "AbortError"));
    });
  });
}

async function failure(reply) {
  let message = `The service answered ${reply.status}.`;
  try { message = (await reply.json()).error.message || message; } catch { /* no document: the status says it */ }
  if (reply.status === 401) keyWanted(readKey() ? "The key was not accepted." : "This service asks for an API key.");
  if (reply.status === 403) keyWanted("The key does not allow this.");
  return new ApiError(reply.status, message);
}

export async function getJson(path, params = {}, options = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== null && value !== ""));
  const text = query.toString();
  return (await send(text ? `${path}?${text}` : path, options)).json();
}

export async function postJson(path, body, options = {}) {
  return (await send(path, { ...options, body })).json();
}

/** Let the browser save an answer as a file. */
export async function download(path, params, name) {
  const reply = await send(`${path}?${new URLSearchParams(params)}`, { accept: "text/csv" });
  const url = URL.createObjectURL(await reply.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
