// One station on a whole screen: did it count? To be read from three metres, by somebody whose hands are full.

import { post, query, segment } from "./api.js";
import { announce, field, h, put, say, scanned, set } from "./dom.js";
import { count, nowMs, plural, since } from "./format.js";
import { act } from "./session.js";
import { onNews, state } from "./stream.js";
import { glyph, LEGEND, said, word } from "./tones.js";

export const title = "Station";
const CALM_MS = 12000;
/* A good answer is news for a moment; what asks for somebody stays until the next scan. */

export function open(root, [id]) {
  const big = h("div.word");
  const message = h("p.said");
  const code = h("div");
  const tally = h("div.tally");
  const bar = h("progress.bar", { "aria-label": "Counted of expected" });
  const about = h("span");
  const hour = h("span.hour");
  const screen = h(
    "div.operator",
    { role: "region", "aria-label": `Station ${id}` },
    h(
      "header",
      {},
      h("h1", {}, id),
      about,
      h(
        "div.row",
        {},
        h("button", { type: "button", onclick: () => enter(id), "aria-keyshortcuts": "F2" }, "Type a code (F2)"),
        h("button", { type: "button", onclick: full }, "Full screen"),
        h("a.button", { href: "#/now", "aria-keyshortcuts": "Escape" }, "Leave"),
      ),
    ),
    h("div.result", {}, big, message, code, tally, bar),
    h(
      "footer",
      {},
      Object.entries(LEGEND).map(([tone, text]) => h("span.key", {}, glyph(tone), text)),
      hour,
    ),
  );
  set(root, screen);

  let shown = null;
  const update = () => {
    const station = state.stations.get(id);
    const trouble = troubleOf(station, id);
    const last = station?.last ?? null;
    const age = last ? nowMs() - last.at_ms : Infinity;
    const isNews = last !== null && (last.tone !== "good" || age < CALM_MS);
    const face = trouble ? "blind" : isNews ? last.tone : "idle";
    const key = `${face} ${last?.number} ${trouble}`;
    if (key !== shown) {
      shown = key;
      screen.className = `operator ${face}`;
      const text = trouble ? trouble.word : isNews ? word(last) : "Ready";
      big.className = `word ${text.length > 9 ? "long" : ""}`;
      set(big, glyph(trouble || !isNews ? "none" : last.tone), h("span", {}, text));
      const remark = trouble ? trouble.text : isNews ? said(last) : "Scan.";
      say(message, remark ?? "");
      set(
        code,
        last &&
          !trouble && [
            isNews ? null : "Last: ",
            scanned(last.code, { length: last.length, max: 80 }),
            " ",
            since(last.at_ms),
          ],
      );
      announce(`${text}. ${remark ?? ""}`, { now: face !== "idle" && face !== "good" });
    }
    // What is not known any more is not shown: yesterday's count would be believed.
    if (station && !trouble) showCounts(station, { tally, bar, about, hour });
    else {
      set(tally);
      bar.hidden = true;
      say(hour, "");
    }
  };
  update();
  const stop = onNews(update);
  const timer = setInterval(update, 1000);
  const keys = (event) => {
    if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
    // No letter does anything here: a scanner that types like a keyboard would say it in the middle of a code.
    if (event.key === "F2") enter(id);
    else if (event.key === "Escape" && !document.fullscreenElement) location.hash = "#/now";
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", keys);
  return () => {
    stop();
    clearInterval(timer);
    document.removeEventListener("keydown", keys);
    if (document.fullscreenElement) document.exitFullscreen();
  };
}

/** What makes this screen worthless now; null when nothing does. */
function troubleOf(station, id) {
  if (!state.isOnline)
    return {
      word: state.failure ? "No connection" : "Connecting",
      text: "This screen does not see scans. Trust the scanner's own tone.",
      toString: () => "offline",
    };
  if (state.status && !state.status.ready)
    return {
      word: "Stop",
      text: `Scans are not taken: ${state.status.not_ready_because}`,
      toString: () => `not ready ${state.status.not_ready_because}`,
    };
  if (!station) return { word: "Unknown", text: `There is no station “${id}” here.`, toString: () => "unknown" };
  return null;
}

function showCounts(station, { tally, bar, about, hour }) {
  const { session, tally: told } = station;
  say(
    about,
    [
      station.activity,
      session?.location,
      session?.operator,
      session?.quantity && `next item × ${session.quantity}`,
      session?.damaged && "next item is damaged",
    ]
      .filter(Boolean)
      .join(" · "),
  );
  const { good, attention, error } = station.hour;
  say(hour, `Last hour: ${count(good)} good, ${count(attention)} attention, ${plural(error, "error", "errors")}`);
  const total = told?.expected === null || told?.expected === undefined ? null : Number(told.expected);
  bar.hidden = !told || total === null || told.observed === null;
  if (!bar.hidden) {
    bar.max = total || 1;
    bar.value = Math.min(Number(told.observed), total);
  }
  if (!told) set(tally);
  else if (told.is_blind) set(tally, "Counting ", scanned(told.document, { max: 40 }));
  else if (told.observed === null) set(tally, scanned(told.document, { max: 40 }));
  else
    set(
      tally,
      h("strong", {}, total === null ? told.observed : `${told.observed} / ${told.expected}`),
      "for ",
      scanned(told.document, { max: 40 }),
      total !== null && Number(told.observed) >= total ? "complete" : null,
      told.exceptions
        ? h("span", {}, `${count(told.exceptions)} open exception${told.exceptions === 1 ? "" : "s"}`)
        : null,
    );
}

async function full() {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await document.documentElement.requestFullscreen?.();
}

const draw = () =>
  [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Manual entry: for the hour in which the scanner is broken. It stays open for the next code. */
function enter(id) {
  const station = state.stations.get(id);
  const code = h("input", {
    name: "code",
    required: true,
    maxlength: 7089,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
  });
  const quantity = h("input", {
    name: "quantity",
    inputmode: "decimal",
    autocomplete: "off",
    pattern: "[0-9]{1,15}([.][0-9]{1,9})?",
  });
  const names = (station?.devices ?? []).filter((name) => !name.endsWith("*"));
  const device =
    names.length > 1
      ? h(
          "select",
          { name: "device" },
          names.map((name) => h("option", { value: name }, name)),
        )
      : null;
  const typed =
    (station?.devices ?? []).length && !names.length
      ? h("input", { name: "device", placeholder: station.last?.device ?? station.devices[0] })
      : null;
  const result = h("p", { role: "status" });
  // One number for one entry: pressed twice, or sent again after a lost answer, it is stored once.
  let number = draw();
  const store = async () => {
    const body = { id: number, code: code.value };
    if (quantity.value) body.quantity = quantity.value;
    const path = query(`/v1/stations/${segment(id)}/scans`, { device: (device ?? typed)?.value });
    try {
      const answer = await act("operator", () => post(path, body));
      if (answer === null) return;
      const tone =
        answer.result === "refused" ? "error" : answer.result === "stored_with_exception" ? "attention" : "good";
      const remark = answer.exceptions?.map((one) => one.message).join(" · ") || answer.reason || "";
      result.className = `tone ${tone}`;
      say(
        result,
        `${tone === "error" ? "Refused" : "Stored"}: ${code.value.slice(0, 40)}${remark ? `. ${remark}` : ""}`,
      );
      number = draw();
      code.value = quantity.value = "";
    } catch (failure) {
      result.className = "tone error";
      say(result, `${failure.message} ${failure.hint}`);
    }
    code.focus();
  };
  const dialog = h("dialog.entry", { "aria-labelledby": "entry-title" });
  put(
    dialog,
    h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          store();
        },
      },
      h("h2", { id: "entry-title" }, `Type a code for ${id}`),
      h(
        "p.small.muted",
        {},
        "For when the scanner cannot. Type what stands under the bars; a wrong check digit is noticed. ",
        "It is stored as typed, with your name. Needs the role “operator”.",
      ),
      field("Code", code),
      field("Quantity, if it is not one", quantity),
      device && field("In the place of", device),
      typed && field("In the place of device", typed),
      result,
      h(
        "div.row.end",
        {},
        h("button.quiet", { type: "button", onclick: () => dialog.close() }, "Close"),
        h("button", { type: "submit" }, "Store"),
      ),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  code.focus();
}
