// Quarantine: what an upstream would not take. A person has it sent again, or lets it go for good.

import { get, post, query, segment } from "./api.js";
import { empty, field, h, keyed, put, say, scanned, set } from "./dom.js";
import { count, plural, since, words } from "./format.js";
import { showEvent } from "./event_dialog.js";
import { reasoned } from "./session.js";
import { onNews, state } from "./stream.js";

export const title = "Quarantine";
const LISTED = 200;

export function open(root) {
  const which = h(
    "select",
    {},
    [
      ["open", "waiting for a person"],
      ["retry", "to be sent again"],
      ["delivered", "delivered since"],
      ["discarded", "discarded"],
      ["", "all"],
    ].map(([value, text]) => h("option", { value }, text)),
  );
  const note = h("p.note", { role: "status" });
  const groups = h("div");
  const whys = h("ul.list.panel", { "aria-label": "Reasons, the most first", hidden: true });
  put(
    root,
    h("div.head", {}, h("h1", {}, "Quarantine"), note),
    h(
      "form.filters.panel",
      { "aria-label": "Which events", onsubmit: (event) => event.preventDefault() },
      field("State", which),
    ),
    whys,
    groups,
  );
  let isGone = false;
  const look = async () => {
    try {
      const { quarantine, total, reasons } = await get(query("/v1/quarantine", { state: which.value, limit: LISTED }));
      if (isGone) return;
      const names = [...new Set(quarantine.map((one) => one.upstream))];
      const found = names.map((name) => ({ name, items: quarantine.filter((one) => one.upstream === name) }));
      if (!found.length) found.push({ name: "", items: [] });
      keyed(
        groups,
        found,
        (one) => one.name,
        (one) =>
          one.name
            ? group(one.name, look)
            : { node: h("div.panel", {}, empty("Nothing is in quarantine here.")), update: () => {} },
      );
      note.className = "note";
      const isCut = total > quarantine.length;
      say(note, isCut ? `The first ${quarantine.length} of ${plural(total, "event", "events")}` : plural(total, "event", "events"));
      set(
        whys,
        isCut && reasons.map((one) => h("li", {}, `${count(one.count)} for ${one.upstream}: `, scanned(one.reason, { max: 200, tag: "bdi" }))),
      );
      whys.hidden = !isCut;
    } catch (failure) {
      note.className = "note error-ink";
      say(note, `${failure.message} ${failure.hint}`);
    }
  };
  which.addEventListener("change", look);
  look();
  let seen = null;
  const stop = onNews(() => {
    const key = JSON.stringify(state.status?.upstreams.map((one) => [one.quarantined, one.discarded]));
    if (seen !== null && key !== seen) look();
    seen = key;
  });
  return () => {
    isGone = true;
    stop();
  };
}

function group(name, look) {
  const list = h("ul.list.panel", { "aria-label": `Quarantined for ${name}` });
  const all = h("input", {
    type: "checkbox",
    id: `all-${name}`,
    onchange: () => {
      for (const box of boxes()) box.checked = all.checked;
      choose();
    },
  });
  const boxes = () => [...list.querySelectorAll("input[type=checkbox]")];
  const chosen = () =>
    boxes()
      .filter((box) => box.checked)
      .map((box) => Number(box.value));
  const retry = h("button", { type: "button", onclick: () => decide("retry") }, "Send again");
  const discard = h("button.danger", { type: "button", onclick: () => decide("discard") }, "Discard");
  const choose = () => {
    const number = chosen().length;
    retry.disabled = discard.disabled = !number;
    say(retry, number ? `Send ${number} again` : "Send again");
    say(discard, number ? `Discard ${number}` : "Discard");
  };
  const decide = async (what) => {
    const seqs = chosen();
    const isDiscard = what === "discard";
    const done = await reasoned(
      isDiscard
        ? `Discard ${plural(seqs.length, "event", "events")} for good`
        : `Send ${plural(seqs.length, "event", "events")} again`,
      "Why?",
      {
        role: isDiscard ? "technician" : "operator",
        action: isDiscard ? "Discard" : "Send again",
        danger: isDiscard,
        about: h(
          "p",
          {},
          isDiscard
            ? `${name} will never get ${seqs.length === 1 ? "it" : "them"}; the audit keeps who said so and why.`
            : `To ${name}, with the same ids. What is wrong with them should be mended there first.`,
        ),
        work: (reason) => post(`/v1/quarantine/${segment(name)}/${what}`, { seqs, reason }),
      },
    );
    if (done) look();
  };
  list.addEventListener("change", choose);
  const node = h(
    "section",
    {},
    h("h2", {}, name),
    h(
      "div.row",
      {},
      h("span.row", {}, all, h("label", { for: `all-${name}` }, "all")),
      retry,
      discard,
      h("span.small.muted", {}, "Sending again needs the role “operator”, discarding “technician”."),
    ),
    h("br"),
    list,
  );
  return {
    node,
    update: ({ items }) => {
      keyed(
        list,
        items,
        (one) => one.seq,
        (one) => row(one),
      );
      choose();
    },
  };
}

function row(first) {
  const about = h("p.small.muted");
  const reason = h("p.message");
  const node = h(
    "li.case",
    {},
    h(
      "div.row",
      {},
      h("input", { type: "checkbox", id: `q-${first.upstream}-${first.seq}`, value: first.seq }),
      h("label.number", { for: `q-${first.upstream}-${first.seq}` }, `Sequence ${first.seq}`),
      h("button.link", { type: "button", onclick: () => showEvent(first.seq) }, "show"),
    ),
    reason,
    about,
  );
  return {
    node,
    update: (one) => {
      set(reason, scanned(one.reason, { max: 400, tag: "bdi" }));
      set(
        about,
        `${one.state} · `,
        one.owner ? `owner ${one.owner} · ` : "",
        words(one.type.replace(/^dockline\.|\.v1$/g, "")),
        ` at ${one.station} · `,
        since(one.since),
      );
    },
  };
}
