// Elements are made here and nowhere else. Text becomes a text node, always: what was scanned is hostile until proven.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("p.small", {id: "x", onclick: f}, "text", node, [more]). What is null or false is left out. */
export function h(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  return fill(document.createElement(tag || "div"), classes, props, children);
}

/** The same for SVG. */
export function s(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  return fill(document.createElementNS(SVG, tag), classes, props, children);
}

function fill(node, classes, props, children) {
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  put(node, ...children);
  return node;
}

/** Append text and nodes. */
export function put(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** Replace what is in a node. */
export function set(node, ...children) {
  node.replaceChildren();
  delete node.keyedItems;
  return put(node, ...children);
}

/** Change a text only when it is another one, so that nothing is read aloud twice. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Keep the children of a node as a list: each item has a key, a node is made once and updated after.
 * `make(item)` returns {node, update(item)}. What has the focus keeps it.
 */
export function keyed(parent, items, keyOf, make) {
  if (!parent.keyedItems) {
    parent.replaceChildren();
    parent.keyedItems = new Map();
  }
  const known = parent.keyedItems;
  const wanted = new Map(items.map((item) => [String(keyOf(item)), item]));
  for (const [key, one] of known) {
    if (!wanted.has(key)) {
      one.node.remove();
      known.delete(key);
    }
  }
  let at = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let one = known.get(key);
    if (!one) {
      one = make(item);
      known.set(key, one);
    }
    one.update(item);
    if (one.node === at) at = at.nextElementSibling;
    else parent.insertBefore(one.node, at);
  }
}

const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e0fff}]/gu;
const SHOWN_MAX = 120;

/** What was scanned, as an element: isolated, invisible characters named, cut to `max`; `lines` keeps ends of lines. */
export function scanned(text, { length = text.length, max = SHOWN_MAX, tag = "bdi.scanned", lines = false } = {}) {
  const node = h(tag, { dir: "ltr" });
  const cut = [...text].slice(0, max).join("");
  let from = 0;
  for (const found of cut.matchAll(HIDDEN)) {
    if (lines && found[0] === "\n") continue;
    put(node, cut.slice(from, found.index), h("span.mark", {}, nameOf(found[0])));
    from = found.index + found[0].length;
  }
  put(node, cut.slice(from));
  const total = Math.max(length, text.length);
  if (total > cut.length) put(node, h("span.mark", {}, ` … ${total.toLocaleString("en")} characters`));
  return node;
}

/** The names of ISO/IEC 646 for the control characters from 0: scanners send some of them on purpose. */
const CONTROLS = (
  "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC " +
  "FS GS RS US"
).split(" ");

function nameOf(character) {
  const code = character.codePointAt(0);
  return `⟨${CONTROLS[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}⟩`;
}

/** Read something aloud, also when it is what was said last: two equal scans are two answers. */
export function announce(text, { now = false } = {}) {
  const node = document.getElementById(now ? "assertive" : "polite");
  node.textContent = node.textContent === text ? `${text}\u00a0` : text;
}

/** A labelled input. */
export function field(label, input) {
  const id = input.id || `f${Math.random().toString(36).slice(2, 9)}`;
  input.id = id;
  return h("div.field", {}, h("label", { for: id }, label), input);
}

export const empty = (text) => h("p.empty", {}, text);
