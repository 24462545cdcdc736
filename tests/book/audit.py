"""What a page must not do, asked of the page itself in the browser."""

AUDIT = r"""
() => {
  const problems = [], root = document.documentElement;
  const say = (what, where) => problems.push(what + ": " + where.slice(0, 120).replace(/\s+/g, " "));
  if (root.scrollWidth > root.clientWidth) {
    const scrolls = "pre, div.math, .kexue-scroll, .pst-scrollable-table-container, .output";
    const wide = [...document.querySelectorAll("body *")].find(
      e => !e.closest(scrolls) && e.getBoundingClientRect().right > root.clientWidth + 0.5);
    say("wider than the screen by " + (root.scrollWidth - root.clientWidth), wide ? wide.outerHTML : "?");
  }
  const walker = document.createTreeWalker(document.querySelector("main") || document.body, 4);
  for (let node; (node = walker.nextNode());) {
    if (node.parentElement.closest("pre, code, script, style, mjx-container, svg, .highlight")) continue;
    if (/\$\$|\\\(|\\\[|\\tag\{|\\frac|\\begin\{|\\int/.test(node.data)) say("raw mathematics", node.data);
  }
  for (const math of document.querySelectorAll(".math")) {
    const drawn = math.querySelector("mjx-container svg");
    if (!drawn) say("mathematics not drawn", math.textContent);
    else if (math.tagName === "SPAN" && drawn.getBoundingClientRect().width > math.clientWidth + 1)
      say("inline mathematics cut off", math.textContent);
  }
  for (const wrong of document.querySelectorAll("mjx-merror, [data-mml-node='merror'], [data-mjx-error]"))
    say("error of MathJax", wrong.dataset.mjxError || wrong.textContent);
  for (const image of document.querySelectorAll("img"))
    if (!(image.alt || "").trim()) say("image without alt text", image.outerHTML);
  for (const svg of document.querySelectorAll("svg")) {
    if (svg.closest("mjx-container, button, [aria-hidden='true'], svg svg")) continue;
    const named = document.getElementById(svg.getAttribute("aria-labelledby"));
    const words = svg.getAttribute("aria-label") || named?.textContent || "";
    if (!words.trim()) say("picture without words", svg.outerHTML);
  }
  return problems;
}
"""

# Contrast of running text with what is behind it, as WCAG 2 defines it; AA asks for 4.5 (3 for large print).
CONTRAST = r"""
() => {
  const channels = colour => {
    const n = (colour.match(/-?[\d.]+(e-?\d+)?/g) || []).map(Number);
    const unit = colour.startsWith("color(") ? 255 : 1;
    return [n[0] * unit, n[1] * unit, n[2] * unit, n.length > 3 ? n[3] : 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = rgb => {
    const [r, g, b] = rgb.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const seen = new Map(), body = document.querySelector("main") || document.body;
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const e = node.parentElement, style = getComputedStyle(e);
    if (!node.data.trim() || !e.getClientRects().length) continue;
    if (e.closest("svg, script, style, noscript, .headerlink")) continue;
    const back = behind(e), front = over(channels(style.color), back);
    const [a, b] = [light(front.slice(0, 3)), light(back.slice(0, 3))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.6 && +style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      const key = `${style.color} on ${back.slice(0, 3).map(Math.round)} <${e.tagName} ${e.className}>`;
      if (!seen.has(key)) seen.set(key, `contrast ${ratio.toFixed(2)}, ${key}: ${node.data.trim()}`);
    }
  }
  return [...seen.values()];
}
"""

READY = r"""
() => document.readyState === "complete" && (!window.MathJax || !document.querySelector(".math") ||
  [...document.querySelectorAll(".math")].every(m => m.querySelector("mjx-container")))
"""
