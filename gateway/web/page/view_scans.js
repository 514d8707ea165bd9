// Scans: as they come, and those of before by what is in them.

import { get, query } from "./api.js";
import { empty, field, h, keyed, put, say, scanned, set } from "./dom.js";
import { clock, plural, stamp } from "./format.js";
import { codeOf, isKeyed, kindOf, showEvent } from "./event_dialog.js";
import { onNews, state } from "./stream.js";
import { said, word } from "./tones.js";

export const title = "Scans";
const LIVE_MAX = 100;
const PAGE = 50;
const KINDS = [
  "receipt",
  "putaway",
  "pick",
  "count",
  "shipment",
  "return",
  "transfer",
  "observation",
  "condition",
  "device",
  "tally",
  "exception",
  "void",
  "unrecognised",
];

export function open(root) {
  const text = h("input", {
    type: "search",
    name: "text",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: "any part of it",
  });
  const document_ = h("input", {
    type: "search",
    name: "document",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "its whole number",
  });
  const device = h("input", { type: "search", name: "device", autocomplete: "off", spellcheck: "false" });
  const station = h(
    "select",
    { name: "station" },
    h("option", { value: "" }, "every station"),
    [...state.stations.keys()].map((id) => h("option", { value: id }, id)),
  );
  const kind = h(
    "select",
    { name: "type" },
    h("option", { value: "" }, "every kind"),
    KINDS.map((value) => h("option", { value }, value)),
  );
  const note = h("p.note", { role: "status" });
  const list = h("ul.list.grid.scans.panel", { "aria-label": "Scans, the newest first" });
  const nothing = h("div.panel", { hidden: true }, empty("Nothing was found."));
  const older = h("button.quiet", { type: "button", hidden: true, onclick: () => search(next) }, "Older");
  const clear = h(
    "button.quiet",
    {
      type: "button",
      onclick: () => {
        form.reset();
        live();
      },
    },
    "Live",
  );
  const form = h(
    "form.filters.panel",
    {
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        found = [];
        if (wanted()) search(null);
        else live();
      },
    },
    field("Code or text", text),
    field("Document", document_),
    field("Device", device),
    field("Station", station),
    field("Kind", kind),
    h("div.row", {}, h("button", { type: "submit" }, "Search"), clear),
  );
  put(root, h("div.head", {}, h("h1", {}, "Scans"), note), form, list, nothing, h("p", {}, older));

  let found = null;
  let next = null;
  const wanted = () => [text, document_, device].some((one) => one.value.trim()) || station.value || kind.value;
  const show = (items, make) => {
    keyed(list, items, (one) => one.key, make);
    list.hidden = !items.length;
    nothing.hidden = items.length > 0;
  };
  const live = () => {
    found = null;
    older.hidden = true;
    set(list);
    follow({ whole: true });
  };
  const follow = (message) => {
    if (found !== null || !(message.scans || message.whole)) return;
    show(
      state.scans.slice(0, LIVE_MAX).map((one) => ({ ...one, key: `n${one.number}` })),
      liveRow,
    );
    say(note, "Live: what devices were answered, the newest first.");
  };
  const search = async (before) => {
    note.className = "note";
    say(note, "Searching …");
    if (before === null) {
      found = [];
      set(list);
    }
    try {
      const byText = text.value.trim();
      const answer = await get(
        query("/v1/events", {
          text: byText,
          document: byText ? "" : document_.value.trim(),
          device: device.value.trim(),
          station: station.value,
          type: kind.value,
          before,
          limit: PAGE,
        }),
      );
      found.push(...answer.events.map((one) => ({ ...one, key: `s${one.seq}` })));
      next = answer.next_before;
      older.hidden = next === null;
      show(found, eventRow);
      say(
        note,
        [
          plural(found.length, "event", "events"),
          next === null ? ", and there are no others." : `; looked back to sequence ${next}.`,
          byText && document_.value.trim() ? " The document was left out: a search is by text or by document." : "",
        ].join(""),
      );
    } catch (failure) {
      note.className = "note error-ink";
      say(note, `${failure.message} ${failure.hint}`);
    }
  };
  live();
  return onNews(follow);
}

const fixed = (node) => ({ node, update: () => {} });

function liveRow(one) {
  const remark = said(one);
  const id = one.events[0];
  return fixed(
    h(
      "li",
      {},
      h("span.number.small", {}, clock(one.at_ms)),
      h(`span.tone.${one.tone}`, {}, word(one)),
      h(
        "span.small",
        {},
        scanned(one.device, { tag: "bdi" }),
        one.station && h("span.muted", {}, ` at ${one.station}`),
      ),
      h(
        "span.wide",
        {},
        scanned(one.code, { length: one.length }),
        one.keyed && [" ", h("span.pill", {}, "typed")],
        one.redelivered && [" ", h("span.pill", {}, "sent again")],
        remark && h("span.small.muted", {}, " ", scanned(remark, { max: 200, tag: "bdi" })),
      ),
      id
        ? h(
            "button.link",
            {
              type: "button",
              "aria-label": `Show the event of ${one.code.slice(0, 30)}`,
              onclick: () => showEvent(id),
            },
            "show",
          )
        : h("span"),
    ),
  );
}

function eventRow({ seq, event }) {
  const data = event?.data ?? {};
  return fixed(
    h(
      "li",
      {},
      h("span.number.small", {}, event ? stamp(event.time) : ""),
      h("span", {}, kindOf(event) || "damaged"),
      h(
        "span.small",
        {},
        scanned(data.device?.id ?? "", { tag: "bdi" }),
        data.station && h("span.muted", {}, ` at ${data.station}`),
      ),
      h(
        "span.wide",
        {},
        scanned(codeOf(data)),
        isKeyed(data) && [" ", h("span.pill", {}, "typed")],
        data.document && h("span.small.muted", {}, " for ", scanned(data.document.id, { max: 40 })),
      ),
      h(
        "button.link",
        { type: "button", "aria-label": `Show the event with sequence ${seq}`, onclick: () => showEvent(seq) },
        "show",
      ),
    ),
  );
}
