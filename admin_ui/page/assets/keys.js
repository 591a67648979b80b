/* Keys: one letter each, never while somebody types. */
(() => {
  const { byId, element, go, lookAgain, tell } = jobs;

  const keys = new Map();
  const key = (letter, help, act) => keys.set(letter, { help, act });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const found = keys.get(event.key);
    const isOurs = document.querySelector("#jobs.alone") || (event.target.closest && event.target.closest("#jobs"));
    if (!found || !isOurs || !byId("jobs-go")) return;
    event.preventDefault();
    found.act();
  });
  const help = () => {
    const rows = [...keys].map(([letter, { help: text }]) =>
      [element("dt", { textContent: letter }), element("dd", { textContent: text })]);
    tell("Keys", element("dl", {}, ...rows.flat()));
  };
  document.addEventListener("click", ({ target }) => target.id === "jobs-help" && help());
  key("?", "this list", help);
  key("j", "all jobs", () => go("?view=jobs"));
  key("h", "history", () => go("?view=history"));
  key("l", "logs", () => go("?view=logs"));
  key("n", "new job", () => go("?view=new"));
  key("r", "look again now", lookAgain);
  Object.assign(jobs, { key });
})();
