// Keys. Everything works without: what is here only makes it quicker.
"use strict";
(() => {
  const typing = (element) => element.closest("input, textarea, select, [contenteditable]");
  const search = document.querySelector("[data-search]");
  const find = document.body.dataset.find;
  const rows = () => [...document.querySelectorAll("[data-row] a[data-open]")];
  const move = (by) => {
    const all = rows();
    const at = all.indexOf(document.activeElement);
    const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) next.focus();
  };
  const acts = {
    "/": () => (search ? search.focus() : find && location.assign(find)),
    j: () => move(1),
    k: () => move(-1),
    r: () => location.reload(),
    "?": () => document.getElementById("keys")?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    event.preventDefault();
    act();
  });

  // What is completed is the last word: the words before it stay.
  const completed = document.querySelector("[data-completes]");
  const words = [...(completed?.list?.options ?? [])];
  const ends = words.map((each) => each.value);
  completed?.addEventListener("input", () => {
    const before = completed.value.slice(0, completed.value.lastIndexOf(" ") + 1);
    words.forEach((each, at) => { each.value = before + ends[at]; });
  });

  // What is open is told of news. Numbers are put in their places; of anything else it is only said that there is news,
  // so that nothing moves under a pointer.
  const ticks = document.body.dataset.ticks;
  const part = document.querySelector("[data-live]");
  if (!ticks || !(part || document.querySelector("[hx-trigger]"))) return;
  const tell = (text) => {
    const place = document.querySelector("[data-news]");
    const again = document.createElement("a");
    again.href = location.href;
    again.textContent = text;
    place.replaceChildren(again);
    place.hidden = false;
  };
  const notes = (href) => [...document.querySelectorAll("svg a")]
    .filter((each) => each.getAttribute("href") === href && each.firstElementChild.localName === "text")
    .map((each) => each.firstElementChild);
  const put = (name, text) => {
    if (name === "news") return text && tell(text);
    if (name.startsWith("note ")) {
      const [first, ...others] = notes(name.slice(5));
      if (!first) return document.querySelector("svg") && tell("There is more to show: look again");
      first.textContent = text;
      return others.forEach((each) => { each.textContent = ""; });
    }
    const place = document.querySelector(`[data-n="${CSS.escape(name)}"]`);
    if (!place || place.textContent === text) return undefined;
    place.textContent = text;
    return name === "notices" && tell("What needs attention has changed: look again");
  };
  const refresh = async (event) => {
    if (document.hidden) return;
    // What is put in the place of a whole part waits while a link in it is pointed at.
    if (!document.querySelector("[hx-trigger] :is(a, button):is(:hover, :focus)")) {
      document.body.dispatchEvent(new CustomEvent("tick"));
    }
    if (!part) return;
    const answer = await fetch(part.dataset.live);
    if (!answer.ok) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    found.querySelectorAll("dt").forEach((each) => put(each.textContent, each.nextElementSibling.textContent));
    put("clock", event.data);
  };
  new EventSource(ticks).addEventListener("tick", refresh);
})();
