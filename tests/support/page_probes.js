// What tests ask a page about itself; see page_browser.py.
window.probes = {
  /** Texts whose contrast is below AA (WCAG 2.2, 1.4.3). */
  contrast() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = (top, under) => under.map((one, at) => top[at] * top[3] + one * (1 - top[3]));
    const linear = (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    const light = (colour) => {
      const [r, g, b] = colour.map((one) => linear(one / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const chain = (node) => (node ? [...chain(node.parentElement), node] : []);
    const poor = [];
    for (const node of document.body.querySelectorAll("*")) {
      const text = [...node.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data.trim()).join(" ").trim();
      if (!text || !node.checkVisibility({ visibilityProperty: true }) || node.closest(".unseen, .skip, svg, :disabled")) continue;
      const styles = chain(node).map((one) => getComputedStyle(one));
      const under = styles.reduce((ground, style) => over(rgba(style.backgroundColor), ground), [255, 255, 255]);
      const ink = rgba(styles.at(-1).color);
      ink[3] *= styles.reduce((opacity, style) => opacity * Number(style.opacity), 1);
      const [one, other] = [light(over(ink, under)), light(under)];
      const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      const size = parseFloat(styles.at(-1).fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && Number(styles.at(-1).fontWeight) >= 700);
      if (ratio < (isLarge ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className}: ${text.slice(0, 40)}`);
    }
    return poor;
  },

  /** Controls that a screen reader has no name for. */
  nameless() {
    const named = (one) => one.labels?.length || one.getAttribute("aria-label") || one.getAttribute("aria-labelledby");
    const says = (one) => one.textContent.trim() && !one.matches("select, dialog");
    return [...document.querySelectorAll("button, a, input, select, textarea, dialog, progress, [role=img]")]
      .filter((one) => one.checkVisibility() && !says(one) && !named(one)).map((one) => one.outerHTML.slice(0, 80));
  },

  /** What sticks out of the screen on the right, and is not meant to be moved sideways. */
  wider() {
    const width = document.documentElement.clientWidth;
    return [...document.querySelectorAll("main *, header *")]
      .filter((one) => one.checkVisibility() && !one.closest("nav, pre, .whole, .unseen, .skip"))
      .filter((one) => one.getBoundingClientRect().right > width + 1).map((one) => one.outerHTML.slice(0, 80)).slice(0, 5);
  },
};
addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective}`));
