/* Going elsewhere: by a link, by the Back button, by a filter, or to where an action leads. */
(() => {
  const { address, addressWith, byId, isOpened, open, refresh, value, view } = jobs;

  const place = () => [view(), ...["run", "page", "before"].map(value)].join(" ");
  const go = (to) => {
    const before = place();
    if (to !== location.search) history.pushState(null, "", to);
    open();
    // What is new is read from its top, wherever the link to it stood.
    const section = byId("jobs");
    if (place() !== before && section.getBoundingClientRect().top < 0) section.scrollIntoView();
  };
  // For inputs that filter: no step for the Back button.
  const narrow = (fields) => {
    history.replaceState(null, "", addressWith(fields));
    refresh();
    return [];
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest(':is(#jobs, #jobs-first) a[href^="?"]');
    if (!link || !byId("jobs-go") || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
  addEventListener("popstate", () => isOpened() || open()); // it also comes when only the part behind a "#" changes

  // Gradio calls this with the address that an action leads to; the field is empty again, so that the same one counts.
  // Who has gone on to something else meanwhile stays there.
  let actedAt = "";
  const actsHere = () => (actedAt = address());
  const arrive = (to) => {
    if (to && actedAt === address()) go(to);
    return [""];
  };
  Object.assign(jobs, { actsHere, arrive, go, narrow });
})();
