// History: a day by minutes. When did it begin?

import { get } from "./api.js";
import { field, h, put, say, set } from "./dom.js";
import { count, duration, stamp } from "./format.js";
import { plot } from "./plot.js";

export const title = "History";
const LOOK_MS = 15000;
const SPANS = [
  [1440, "24 hours"],
  [360, "6 hours"],
  [60, "1 hour"],
];

const number = (value, isAxis) =>
  isAxis && value >= 10000 ? `${Math.round(value / 1000)}k` : count(Math.round(value * 10) / 10);
const seconds = (value) =>
  value > 0 && value < 10
    ? `${Math.round(value * 1000) < 1000 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`}`
    : duration(value);

const PLOTS = [
  {
    key: "scans",
    title: "Throughput",
    about: "Scans and tags that were stored.",
    how: "sum",
    least: 4,
    write: (value, isAxis) => (isAxis ? number(value, true) : `${number(value)} scans`),
  },
  {
    key: "lag_s",
    title: "Event lag",
    about: "Age of the oldest event that an upstream does not have.",
    how: "max",
    mark: "area",
    least: 8,
    write: seconds,
  },
  {
    key: "rate",
    title: "Unreadable",
    about: "Share of readings that could not be understood.",
    how: "max",
    tone: "attention",
    least: 4,
    write: (value) => `${Math.round(value * 10) / 10} %`,
  },
  {
    key: "exceptions",
    title: "Exceptions",
    about: "Opened by the checks.",
    how: "sum",
    tone: "attention",
    least: 4,
    write: (value, isAxis) => (isAxis ? number(value, true) : `${number(value)} opened`),
  },
  {
    key: "errors",
    title: "Refused and not stored",
    about: "What operators heard the error tone for.",
    how: "sum",
    tone: "error",
    least: 4,
    write: (value, isAxis) => (isAxis ? number(value, true) : `${number(value)} refused`),
  },
  {
    key: "depth",
    title: "Queue depth",
    about: "Events that the slowest upstream does not have.",
    how: "max",
    mark: "area",
    least: 4,
    write: (value, isAxis) => (isAxis ? number(value, true) : `${number(value)} events`),
  },
  {
    key: "ack_p99_s",
    title: "Wait for the answer",
    about: "99 of 100 devices waited no longer for theirs, to the next bucket.",
    how: "max",
    mark: "area",
    least: 0.02,
    write: seconds,
  },
];

export function open(root) {
  const span = h(
    "select",
    {},
    SPANS.map(([value, text]) => h("option", { value }, text)),
  );
  const note = h("p.note", { role: "status" });
  const plots = PLOTS.map((one) => ({ ...one, figure: plot(one) }));
  put(
    root,
    h("div.head", {}, h("h1", {}, "History"), note),
    h(
      "form.filters.panel",
      { "aria-label": "How much", onsubmit: (event) => event.preventDefault() },
      field("Shown", span),
    ),
    h(
      "div.plots",
      {},
      plots.map((one) => one.figure.node),
    ),
  );
  let isGone = false;
  const look = async () => {
    try {
      const { series, first_ms: firstMs, since_ms: sinceMs } = await get(`/v1/history?minutes=${span.value}`);
      if (isGone) return;
      series.rate = series.unreadable.map((value, at) =>
        value === null ? null : (100 * value) / Math.max(1, series.scans[at] + series.errors[at]),
      );
      for (const { key, figure } of plots) figure.update({ values: series[key], firstMs });
      set(note, "Seen since ", stamp(Math.max(sinceMs, firstMs)), "; gaps are minutes in which the gateway did not run.");
    } catch (failure) {
      note.className = "note error-ink";
      say(note, `${failure.message} ${failure.hint}`);
    }
  };
  span.addEventListener("change", look);
  look();
  const timer = setInterval(look, LOOK_MS);
  return () => {
    isGone = true;
    clearInterval(timer);
    for (const { figure } of plots) figure.close();
  };
}
