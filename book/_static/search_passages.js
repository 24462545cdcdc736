/* Under each hit of the search, the passage that it found, out of pages.js. */
document.addEventListener("DOMContentLoaded", () => {
  const results = document.getElementById("search-results");
  const query = (new URLSearchParams(location.search).get("q") || "").trim().toLowerCase();
  if (!results || !query || typeof KEXUE_PAGES === "undefined") return;

  function passage(text) {
    const lower = text.toLowerCase();
    const stems = splitQuery(query).map(word => new Stemmer().stemWord(word));
    const found = [query, ...splitQuery(query), ...stems].find(word => lower.includes(word));
    const at = found ? lower.indexOf(found) : 0;
    const start = Math.max(0, at - 80), line = document.createElement("p");
    line.className = "context";
    line.append(start ? "… " : "", text.slice(start, at));
    const mark = line.appendChild(document.createElement(found ? "mark" : "span"));
    mark.textContent = text.slice(at, at + (found || "").length);
    line.append(text.slice(at + mark.textContent.length, at + 160), " …");
    return line;
  }

  function addPassages() {
    for (const hit of results.querySelectorAll("ul.search > li")) {
      const text = KEXUE_PAGES[hit.querySelector("a")?.getAttribute("href").replace(/\.html.*/, "")];
      if (text && !hit.querySelector(".context")) hit.append(passage(text));
    }
  }

  addPassages(); // hits may be there already
  new MutationObserver(addPassages).observe(results, { childList: true, subtree: true });
});
