/* Logs: follow a run that goes on, go to a line, wrap, and ask before something is done. */
jobs.logs = (() => {
  const PLACES = ["line", "stdout_from", "stdout_to", "stderr_from", "stderr_to"];
  const NEAR_THE_END = 40; // pixels
  const all = (selector, act) => document.querySelectorAll(selector).forEach(act);
  const run = () => document.querySelector("#jobs-logs-head .run[data-run]");
  const isHere = () => jobs.view() === "logs";

  const choose = (fields) => {
    jobs.go(jobs.addressWith(fields));
    return [];
  };
  const search = (find) => jobs.narrow({ ...Object.fromEntries(PLACES.map((name) => [name, ""])), find });

  // A panel begins where its address says, then stays where the reader left it; one that follows stays at the end.
  const placed = new Map();
  const held = new Map();
  const ends = new WeakMap();
  let byKey = false; // a line's number was followed with the Enter key: other lines come, and with them its focus goes
  const toTheEnd = (panel) => {
    panel.scrollTop = panel.scrollHeight;
    ends.set(panel, { top: panel.scrollTop, last: panel.dataset.last });
  };
  const place = (panel) => {
    const { stream, place: now } = panel.dataset;
    const before = placed.get(stream);
    const follows = "follow" in panel.dataset && !jobs.value(`${stream}_to`);
    const isNew = follows ? (ends.get(panel) || {}).last !== panel.dataset.last || before !== now : before !== now;
    if (!isNew || now.split(" ")[0] !== jobs.value("run") || !panel.clientHeight) return;
    placed.set(stream, now);
    if (follows) return toTheEnd(panel);
    if (held.get(stream) === jobs.value(`${stream}_to`)) return; // where the reader stopped it
    const line = panel.querySelector("[aria-current]");
    if (line) {
      line.scrollIntoView({ block: "center" });
      if (byKey && document.activeElement === document.body) line.querySelector("a").focus({ preventScroll: true });
      byKey = false;
    }
    else if (jobs.value(`${stream}_from`) || jobs.value("find")) panel.scrollTop = 0;
    else toTheEnd(panel);
  };
  document.addEventListener("scroll", ({ target: panel }) => {
    if (!(panel instanceof Element) || !panel.matches("#jobs-logs .log[data-follow]")) return;
    const below = panel.scrollHeight - panel.clientHeight - panel.scrollTop;
    if (below < NEAR_THE_END || panel.scrollTop >= (ends.get(panel) || { top: 0 }).top) return;
    const { stream, last } = panel.dataset;
    if (!last) return; // lines without numbers: a large file is still counted
    delete panel.dataset.follow;
    held.set(stream, last);
    jobs.narrow({ [`${stream}_to`]: last }); // what is read now stays, whatever is printed
  }, true);
  const follow = () => {
    const link = document.querySelector("#jobs-logs .paused .follow");
    const panel = document.activeElement.closest("#jobs-logs .log") || document.querySelector("#jobs-logs .log");
    if (isHere() && link) link.click();
    else if (isHere() && panel) toTheEnd(panel);
    else scrollTo(0, document.documentElement.scrollHeight);
  };

  // A log is one stop for the Tab key. From there Enter leads to the numbers of its lines, each a link.
  const STEPS = { ArrowDown: 1, ArrowUp: -1 };
  const isInSight = (panel) => (link) => link.getBoundingClientRect().top >= panel.getBoundingClientRect().top;
  const goalOf = (key, panel, from) => {
    const links = [...panel.querySelectorAll(":scope > div > a")];
    if (from === panel) return key === "Enter" && (links.find(isInSight(panel)) || links.at(-1));
    return key === "Escape" ? panel : STEPS[key] && links[links.indexOf(from) + STEPS[key]];
  };
  document.addEventListener("keydown", (event) => {
    const panel = event.target.closest && event.target.closest("#jobs-logs .log");
    if (!panel || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const goal = goalOf(event.key, panel, event.target);
    if (!goal) return;
    event.preventDefault();
    goal.focus();
  });
  document.addEventListener("click", ({ target, detail }) => target.matches("#jobs-logs .log a") && (byKey = !detail));
  jobs.key("Enter", "from a log to the numbers of its lines, which are links; the arrow keys go on, Esc back");

  const isWrapped = () => jobs.local.get("jobs-logs-wrap") !== "off";
  const showWrap = () => {
    const state = isWrapped() ? "on" : "off";
    if (document.documentElement.dataset.jobsWrap !== state) document.documentElement.dataset.jobsWrap = state;
    const button = jobs.byId("jobs-logs-wrap");
    if (button && button.getAttribute("aria-pressed") !== String(isWrapped())) button.setAttribute("aria-pressed", isWrapped());
  };
  const wrap = () => {
    jobs.local.set("jobs-logs-wrap", isWrapped() ? "off" : "on");
    showWrap();
  };
  document.addEventListener("click", (event) => event.target.id === "jobs-logs-wrap" && wrap());

  const ask = async (button, title, text, word, danger) => {
    const { job, run: id } = run().dataset; // the one that the question names, whatever is shown when it is answered
    if (!(await jobs.ask(title, text, word, danger))) throw new Error("cancelled");
    jobs.asked(job, jobs.byId(button));
    return [`?view=logs&run=${id}&confirmed=${job}`];
  };
  const askToCancel = () => {
    const { job, run: id } = run().dataset;
    return ask("jobs-logs-cancel", `Cancel this run of ${job}?`, `Run ${id} and everything that it started is ended.`, "Cancel run", true);
  };
  const askToRun = () => {
    const { job } = run().dataset;
    return ask("jobs-logs-again", `Run ${job} now?`, "It starts as soon as the scheduler sees this, as its file is now, beside its schedule.", "Run now", false);
  };

  const onRun = (act) => () => isHere() && run() && act();
  jobs.key("e", "errors only (stderr) of a run", onRun(() => choose({ line: "", stream: jobs.value("stream") === "stderr" ? "" : "stderr" })));
  jobs.key("d", "download what is shown", () => {
    const near = document.activeElement.closest("#jobs-logs .log");
    const links = [...document.querySelectorAll("#jobs-logs .load")];
    const link = links.find((each) => near && each.href.endsWith(`.${near.dataset.stream}`)) || links.at(-1);
    if (isHere() && link) link.click();
  });
  jobs.key("s", "search in the logs", () => isHere() && jobs.byId("jobs-logs-find").querySelector("textarea, input").focus());
  jobs.key("w", "wrap long lines, or not", () => isHere() && wrap());
  jobs.key("End", "the end of a log; follow it again", follow);
  jobs.touch(() => {
    showWrap();
    const view = jobs.byId("jobs-logs"); // until another run's answer is here, nothing of this one is taken for it
    if (view) view.classList.toggle("stale", Boolean(run()) && run().dataset.run !== jobs.value("run"));
    if (isHere()) all("#jobs-logs .log", place);
  });
  return { askToCancel, askToRun, choose, search };
})();
