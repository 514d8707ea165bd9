// Exceptions: what is not as expected, whose it is, since when, and what was decided.

import { get, post, query, segment } from "./api.js";
import { empty, field, h, keyed, put, say, scanned, set } from "./dom.js";
import { duration, plural, stamp, words } from "./format.js";
import { reasoned, tell } from "./session.js";
import { onNews, state } from "./stream.js";
import { showEvent } from "./event_dialog.js";

export const title = "Exceptions";
const LOOK_MS = 10000;
/** More are not read in one go, and a browser takes seconds to lay out thousands. */
const LISTED = 200;
/** What is kept of weeks is long, and changes only when somebody decides. */
const SLOW = ["resolved", "all"];
const STATES = { resolved: "good", acknowledged: "" };
const SEVERITY = { info: "none", minor: "attention", major: "attention", critical: "error" };

export function open(root) {
  const which = h(
    "select",
    {},
    [
      ["unresolved", "not resolved"],
      ["overdue", "overdue"],
      ["open", "open"],
      ["acknowledged", "acknowledged"],
      ["escalated", "escalated"],
      ["resolved", "resolved"],
      ["all", "all"],
    ].map(([value, text]) => h("option", { value }, text)),
  );
  const owner = h("input", { list: "owners", autocomplete: "off", placeholder: "anybody" });
  const owners = h("datalist", { id: "owners" });
  const note = h("p.note", { role: "status" });
  const list = h("ul.list.panel", { "aria-label": "Exceptions" });
  const nothing = h("div.panel", {}, empty("Nothing waits here."));
  put(
    root,
    h("div.head", {}, h("h1", {}, "Exceptions"), note),
    h(
      "form.filters.panel",
      { "aria-label": "Which exceptions", onsubmit: (event) => event.preventDefault() },
      field("State", which),
      field("Owner", owner),
      owners,
    ),
    list,
    nothing,
  );
  let isGone = false;
  const look = async () => {
    try {
      const { exceptions, total, overdue } = await get(
        query("/v1/exceptions", { state: which.value, owner: owner.value.trim(), limit: LISTED }),
      );
      if (isGone) return;
      // Overdue first, then the oldest.
      exceptions.sort((one, other) => other.overdue - one.overdue || other.age_s - one.age_s);
      keyed(
        list,
        exceptions,
        (one) => one.exception,
        (one) => row(one, look),
      );
      list.hidden = !exceptions.length;
      nothing.hidden = exceptions.length > 0;
      set(
        owners,
        [...new Set(exceptions.map((one) => one.owner))].map((value) => h("option", { value })),
      );
      note.className = `note ${overdue ? "error-ink" : ""}`;
      const cut = total > exceptions.length ? `; the ${exceptions.length} oldest stand here` : "";
      say(note, `${plural(total, "exception", "exceptions")}${overdue ? `, ${overdue} overdue` : ""}${cut}`);
    } catch (failure) {
      note.className = "note error-ink";
      say(note, `${failure.message} ${failure.hint}`);
    }
  };
  which.addEventListener("change", look);
  owner.addEventListener("change", look);
  look();
  const timer = setInterval(() => SLOW.includes(which.value) || look(), LOOK_MS);
  let seen = null;
  const stop = onNews(() => {
    const key = JSON.stringify(state.status?.exceptions);
    if (seen !== null && key !== seen) look();
    seen = key;
  });
  return () => {
    isGone = true;
    stop();
    clearInterval(timer);
  };
}

function row(first, look) {
  const tone = h("span.tone");
  const status = h("span.pill");
  const message = h("p.message");
  const facts = h("p.small.muted.number");
  const decided = h("p.small");
  let one = first;
  const acknowledge = h(
    "button.quiet",
    { type: "button", onclick: () => decide(one, "acknowledge", look) },
    "Acknowledge",
  );
  const resolve = h("button.quiet", { type: "button", onclick: () => decide(one, "resolve", look) }, "Resolve");
  const node = h(
    "li.case",
    {},
    h("div.row", {}, tone, status),
    message,
    facts,
    decided,
    h(
      "div.row",
      {},
      h("button.quiet", { type: "button", onclick: () => evidence(one) }, "Evidence"),
      acknowledge,
      resolve,
    ),
  );
  return {
    node,
    update: (now) => {
      one = now;
      tone.className = `tone ${SEVERITY[one.severity] ?? "attention"}`;
      say(tone, `${words(one.code)} · ${one.severity}`);
      status.className = `pill ${one.overdue ? "error" : (STATES[one.state] ?? "attention")}`;
      say(status, one.overdue ? `${one.state}, overdue` : one.state);
      set(message, scanned(one.message, { max: 300, tag: "bdi" }));
      const due =
        one.due_in_s === null || one.state === "resolved"
          ? null
          : one.due_in_s < 0
            ? `due ${duration(-one.due_in_s)} ago`
            : `due in ${duration(one.due_in_s)}`;
      set(
        facts,
        `Owner ${one.owner} · raised ${duration(one.age_s)} ago`,
        due && ` · ${due}`,
        ` · station ${one.station}`,
        one.document && [" · ", scanned(one.document.id, { max: 40 })],
        one.escalations ? ` · escalated ${one.escalations} times` : null,
      );
      set(
        decided,
        one.actor && `${words(one.state)} by ${one.actor}`,
        one.resolution && [": ", scanned(one.resolution, { max: 300, tag: "bdi" })],
      );
      decided.hidden = !decided.textContent;
      acknowledge.hidden = !["open", "escalated"].includes(one.state);
      resolve.hidden = one.state === "resolved";
    },
  };
}

const about = (one) => h("p", {}, scanned(one.message, { max: 300, tag: "bdi" }));

async function decide(one, what, look) {
  const path = `/v1/exceptions/${segment(one.exception)}/${what}`;
  const isResolve = what === "resolve";
  const done = await reasoned(
    isResolve ? "Resolve the exception" : "Acknowledge the exception",
    isResolve ? "What was decided?" : "What happens now?",
    {
      role: "operator",
      action: isResolve ? "Resolve" : "Acknowledge",
      about: about(one),
      work: (text) => post(path, isResolve ? { resolution: text } : { reason: text }),
    },
  );
  if (done) look();
}

async function evidence(short) {
  const one = await get(`/v1/exceptions/${segment(short.exception)}`);
  const facts = [
    ["Raised", stamp(one.raised_at)],
    ["Due", one.due_at && stamp(one.due_at)],
    ["Owner", one.owner],
    ["Rule", `${one.rule.id} version ${one.rule.version}, by ${one.rule.author}`],
    ["Document", one.document && scanned(one.document.id)],
    ["Expected", one.variance && `${one.variance.expected} ${one.variance.unit}`],
    ["Observed", one.variance && `${one.variance.observed} ${one.variance.unit} (${one.variance.difference})`],
    [
      "Item",
      one.item &&
        scanned(
          Object.entries(one.item)
            .map(([name, value]) => `${name} ${value}`)
            .join(", "),
          { max: 400 },
        ),
    ],
    ["On hold", one.hold && "further scans are stored with this exception until it is resolved"],
  ].filter(([, value]) => value);
  const lines = (one.lines ?? []).map((line) =>
    h(
      "li",
      {},
      `Line ${line.line}: ${line.observed} of ${line.expected} ${line.unit} · `,
      scanned(Object.values(line.item).join(" "), { max: 80 }),
    ),
  );
  const events = (one.events ?? [])
    .slice(0, 50)
    .map((id) => h("li", {}, h("button.link", { type: "button", onclick: () => showEvent(id) }, id)));
  await tell(words(one.code), [
    about(one),
    h(
      "dl.facts",
      {},
      facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
    ),
    lines.length > 0 && [h("h3", {}, "Lines that differ"), h("ul.list", {}, lines)],
    events.length > 0 && [
      h("h3", {}, `Events that show it (${one.events_total || events.length})`),
      h("ul", {}, events),
    ],
  ]);
}
