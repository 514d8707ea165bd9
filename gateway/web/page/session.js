// Who asks, and what that person may do. Looking needs no token on loopback; whatever changes something does.

import { get, post, remove, setWord } from "./api.js";
import { field, h, put, set } from "./dom.js";

const LADDER = ["device", "viewer", "operator", "technician", "admin"];

export const session = { name: null, role: null, csrf: null };
const listeners = new Set();

export const onSession = (listener) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const may = (role) => LADDER.indexOf(session.role) >= LADDER.indexOf(role);

function adopt(told) {
  Object.assign(session, { name: null, role: null, csrf: null }, told);
  setWord(session.csrf);
  for (const listener of listeners) listener(session);
}

/** Ask who we are. */
export async function refresh() {
  try {
    adopt(await get("/v1/session"));
  } catch (failure) {
    if (failure.status !== 401) throw failure;
    adopt({});
  }
}

export async function signOut() {
  await remove("/v1/session");
  await refresh();
}

/** Ask for a token; resolves to true when somebody signed in. `why` says what for. */
export function signIn(why = "") {
  const token = h("input", {
    type: "password",
    name: "token",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
  });
  const problem = h("p.error-ink", { role: "alert" });
  return ask(
    "Sign in",
    [
      why && h("p", {}, why),
      field("Token", token),
      h("p.small.muted", {}, "A technician makes one with: dockline token NAME --role operator"),
      problem,
    ],
    "Sign in",
    async () => {
      try {
        adopt(await post("/v1/session", { token: token.value }));
        return true;
      } catch (failure) {
        set(problem, failure.status === 401 ? "This token is not valid here." : failure.message);
        token.select();
        return false;
      }
    },
  );
}

/**
 * Do something that needs a role: asks to sign in until somebody has it; null when nobody does.
 * Throws what stays wrong.
 */
export async function act(role, work) {
  for (let attempt = 0; ; attempt += 1) {
    while (!may(role)) {
      const who = session.csrf ? `${session.name} has the role “${session.role}”. ` : "";
      if (!(await signIn(`${who}This needs the role “${role}”.`))) return null;
    }
    try {
      return await work();
    } catch (failure) {
      // The session may have ended, or the token's role have changed, since this page asked.
      if (!failure.wantsSignIn || attempt) throw failure;
      await refresh();
    }
  }
}

let dialogs = 0;

/** A dialog with a form; `submit` returns true when it may close. Resolves to what it was. */
export function ask(title, children, label, submit, { danger = false } = {}) {
  return new Promise((resolve) => {
    let result = false;
    const button = h(danger ? "button.danger" : "button", { type: "submit" }, label);
    const id = `dialog-${(dialogs += 1)}`;
    const dialog = h("dialog", { "aria-labelledby": id });
    const form = h(
      "form",
      {
        novalidate: true,
        onsubmit: async (event) => {
          event.preventDefault();
          const wrong = form.querySelector(":invalid");
          if (wrong) {
            wrong.focus();
            return;
          }
          button.disabled = true;
          result = await submit();
          button.disabled = false;
          if (result) dialog.close();
        },
      },
      h("h2", { id }, title),
      children,
      h("div.row.end", {}, h("button.quiet", { type: "button", onclick: () => dialog.close() }, "Cancel"), button),
    );
    put(dialog, form);
    show(dialog, () => resolve(result));
    form.querySelector("input, textarea, select")?.focus();
  });
}

function show(dialog, over) {
  dialog.addEventListener("close", () => {
    dialog.remove();
    over();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Show something in a dialog; resolves when it was closed. */
export function tell(title, children) {
  return new Promise((resolve) => {
    const id = `dialog-${(dialogs += 1)}`;
    const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
    const dialog = h(
      "dialog.large",
      { "aria-labelledby": id },
      h("div.stack", {}, h("h2", { id }, title), children, h("div.row.end", {}, close)),
    );
    show(dialog, resolve);
  });
}

/** Ask for a reason in words; resolves to it, or null. `work(reason)` does the thing. */
export async function reasoned(title, label, { role, action, work, danger = false, about = null }) {
  const text = h("textarea", { rows: 3, maxlength: 500, required: true });
  const problem = h("p.error-ink", { role: "alert" });
  return ask(
    title,
    [about, field(label, text), h("p.small.muted", {}, `Needs the role “${role}”. The audit keeps it.`), problem],
    action,
    async () => {
      const reason = text.value.trim();
      if (!reason) {
        set(problem, "Say it in a few words, please.");
        text.focus();
        return false;
      }
      try {
        return (await act(role, () => work(reason))) !== null;
      } catch (failure) {
        set(problem, failure.message, failure.hint ? ` (${failure.hint})` : "");
        return false;
      }
    },
    { danger },
  );
}
