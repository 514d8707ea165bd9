// Asking the gateway. A refusal is an `ApiFailure` that says what, and what to do.

export class ApiFailure extends Error {
  constructor(status, error) {
    super(error.message ?? `the gateway answered ${status}`);
    this.status = status;
    this.code = error.code ?? "";
    this.hint = error.hint ?? "";
  }

  /** Whether signing in, perhaps as somebody else, would help. */
  get wantsSignIn() {
    return this.status === 401 || this.code === "role_too_low" || this.code === "word_missing";
  }
}

let word = null;

/** Note the word that actions have to repeat; null without a session. */
export function setWord(csrf) {
  word = csrf;
}

async function ask(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (word !== null) headers["Dockline-CSRF"] = word;
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch {
    throw new ApiFailure(0, {
      code: "no_connection",
      message: "The gateway does not answer.",
      hint: "Is it running, and is this computer connected?",
    });
  }
  const text = await answer.text();
  let told = {};
  try {
    told = text ? JSON.parse(text) : {};
  } catch {
    told = {};
  }
  if (!answer.ok && !(answer.status === 403 && told.result)) throw new ApiFailure(answer.status, told.error ?? {});
  return told;
}

export const get = (path) => ask("GET", path);
export const post = (path, body) => ask("POST", path, body);
export const remove = (path) => ask("DELETE", path);

/** A path with a query; what is empty is left out. */
export function query(path, values) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values))
    if (value !== null && value !== undefined && value !== "") found.set(name, value);
  const text = found.toString();
  return text ? `${path}?${text}` : path;
}

export const segment = encodeURIComponent;
