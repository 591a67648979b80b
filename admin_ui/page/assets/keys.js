/* Keys: one letter each, never while somebody types; with Ctrl also then. */
(() => {
  const { byId, element, go, local, lookAgain, tell } = jobs;

  const keys = new Map();
  // Without `act`, another script listens for it, and it is on the list only.
  const key = (letter, help, act) => keys.set(letter, { help, act });
  // Who speaks to the computer, or has unsteady hands, can do without those of one letter.
  const areOn = () => local.get("jobs-keys") !== "off";
  document.addEventListener("keydown", (event) => {
    const withCtrl = event.ctrlKey || event.metaKey;
    const found = keys.get(withCtrl ? `Ctrl+${event.key}` : event.key);
    if (!found || !found.act || event.altKey || event.repeat || document.querySelector("dialog[open]") || !byId("jobs-go")) return;
    const isAt = (place) => event.target.closest && event.target.closest(place);
    const isTyping = isAt("input, textarea, select, [contenteditable]");
    const isOurs = document.querySelector("#jobs.alone") || isAt("#jobs");
    if (!isOurs || (isTyping && !withCtrl) || (event.key.length === 1 && !areOn())) return;
    event.preventDefault();
    found.act();
  });
  const help = () => {
    const rows = [...keys].map(([letter, { help: text }]) =>
      [element("dt", { textContent: letter }), element("dd", { textContent: text })]);
    const box = element("input", { type: "checkbox", checked: areOn() });
    box.onchange = () => local.set("jobs-keys", box.checked ? "on" : "off");
    tell("Keys", element("dl", {}, ...rows.flat()), element("label", {}, box, " Keys of one character are on"));
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
