// In the browser: when the cover goes, and names that marimo's controls lack for those who do not see the page.
"use strict";
{
  const DRAWN = "[role=graphics-document], .explorer .problem"; // the first chart, or why there is none
  const PATIENCE = 30000; // milliseconds, after which whatever has come is shown
  const LOOK = { subtree: true, childList: true, characterData: true };
  const cover = document.getElementById("opening");
  const page = document.getElementById("root");
  const watched = new WeakSet();
  const shade = new CSSStyleSheet(); // marimo's grey on its lighter grey is too faint to read
  shade.replaceSync(".marimo:not(:has(> .dark)) { --muted-foreground: #475569; }");
  let due = false;

  // Everything below a node, in order; marimo's controls and charts stand in shadow trees, into which selectors do not see.
  function* below(place) {
    watch(place);
    for (const one of place.querySelectorAll("*")) {
      yield one;
      if (one.shadowRoot) yield* below(one.shadowRoot);
    }
  }

  function watch(place) {
    const sheets = place.adoptedStyleSheets ?? []; // marimo may set others in the place of those that are there
    if (place instanceof ShadowRoot && !sheets.includes(shade)) place.adoptedStyleSheets = [...sheets, shade];
    if (watched.has(place)) return;
    watched.add(place);
    new MutationObserver(lookSoon).observe(place, LOOK);
  }

  function lookSoon() {
    if (due) return;
    due = true;
    setTimeout(look, 100);
  }

  function look() {
    due = false;
    let knob = null;
    let isDrawn = false;
    for (const one of below(document.body)) {
      if (cover.contains(one)) continue;
      isDrawn ||= one.matches(DRAWN);
      if (one.matches(".knob")) knob = one;
      else if (one.matches("[role=slider]") && knob) nameSlider(one, knob);
      else if (one.matches(".vega-embed summary")) say(one, "aria-label", "Save this picture");
      else if (one.matches("button") && !one.textContent.trim() && !one.title) nameButton(one);
    }
    if (isDrawn) uncover();
  }

  // A slider says the place among its marks; what it stands at is written above it.
  function nameSlider(slider, knob) {
    const [symbol, value] = knob.querySelector("strong").textContent.split(" = ");
    say(slider, "aria-label", `${symbol}, ${knob.querySelector("small").textContent}`);
    say(slider, "aria-valuetext", value);
  }

  function nameButton(button) {
    if (button.getAttribute("aria-label")) return;
    say(button, "aria-label", button.matches("[aria-haspopup=menu]") ? "Menu" : "Sliders: show or hide");
  }

  function say(one, name, text) {
    if (one.getAttribute(name) !== text) one.setAttribute(name, text);
  }

  function uncover() {
    if (!cover.isConnected) return;
    requestAnimationFrame(() => requestAnimationFrame(() => {
      cover.remove();
      page.inert = false;
    }));
  }

  page.inert = true;
  setTimeout(uncover, PATIENCE);
  look();
}
