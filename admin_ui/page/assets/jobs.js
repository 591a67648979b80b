/* The jobs view: selecting a row, and the questions before each action. */
(() => {
  const chosen = () => document.querySelector("#jobs-chosen .chosen");
  const rows = () => [...document.querySelectorAll("#jobs-table tr[data-job]")];

  // What each question says: its title, the effect, the word that agrees, whether it destroys something.
  const QUESTIONS = {
    run: (job, file, kept) => [`Run ${job} now?`, kept
      ? `Its last good version starts, and not what jobs/${file} says now: the scheduler cannot use that.`
      : "It starts as soon as the scheduler sees this, beside its schedule.", "Run now"],
    cancel: (job) => [`Cancel the run of ${job}?`, "It is told to end, and killed if it does not. What waits, a retry too, is dropped.", "End the run", true],
    disable: (job) => [`Disable ${job}?`, "It starts no more until it is enabled again. A run that is going goes on.", "Disable"],
    delete: (job, file) => [`Delete ${job}?`, `jobs/${file} is removed, and it starts no more. Its history and logs stay. A run that is going goes on.`, "Delete", true],
    pause: () => ["Pause all schedules?", "No job starts by its schedule until you resume. Runs that are going go on; Run now still works.", "Pause all"],
    resume: () => ["Resume all schedules?", "Every enabled job starts by its schedule again.", "Resume"],
  };
  // Asks, and returns the input of the handler: the address, with what this page showed when it asked.
  jobs.act = async (action) => {
    const { job = "", file = "", sha256 = "", runs = "", kept = "" } = chosen() ? chosen().dataset : {};
    const question = QUESTIONS[action];
    if (question && !(await jobs.ask(...question(job, file, kept)))) throw new Error("cancelled");
    jobs.asked(job || "All schedules");
    const query = new URLSearchParams(jobs.address());
    for (const [name, text] of Object.entries({ confirmed: job, sha256, runs })) query.set(name, text);
    return [`?${query}`];
  };

  let focusBar = "";
  const select = (row, byKey) => {
    if (!row.dataset.job) return;
    focusBar = byKey ? row.dataset.job : "";
    jobs.go(jobs.addressWith({ job: row.dataset.job }));
  };
  jobs.touch(() => {
    if (!focusBar || !chosen() || chosen().dataset.job !== focusBar) return;
    const first = document.querySelector("#jobs-actions button:enabled");
    const row = document.activeElement.closest("#jobs-table tr[data-job]");
    if (first && row && row.dataset.job === focusBar) first.focus(); // else somebody is elsewhere by now
    focusBar = "";
  });
  document.addEventListener("click", (event) => {
    const proxy = event.target.closest("[data-click]");
    if (proxy && jobs.byId(proxy.dataset.click)) jobs.byId(proxy.dataset.click).click();
    const row = event.target.closest("#jobs-table tr[data-job]");
    if (row && !event.target.closest("a") && !String(getSelection())) select(row, false);
  });
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest && event.target.closest("#jobs-table tr[data-job]");
    if (!row || event.target !== row || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const next = rows()[rows().indexOf(row) + step];
      if (next) next.focus();
    } else if (event.key === "Enter" || event.key === " ") select(row, true);
    else return;
    event.preventDefault();
  });

  const inView = () => jobs.view() === "jobs";
  // Which one that is, only this view knows, and from elsewhere only once it is filled.
  let wantsFailed = false;
  jobs.key("f", "the log of the job that failed last", () => {
    wantsFailed = true;
    if (inView()) showFailed();
    else jobs.go("?view=jobs");
  });
  const showFailed = () => {
    if (!wantsFailed || jobs.filling()) return;
    wantsFailed = false;
    const link = inView() && document.querySelector('#jobs-alarm .bad a[href*="run="]');
    if (link) jobs.go(link.getAttribute("href"));
  };
  jobs.touch(showFailed);
  jobs.key("/", "find a job", () => {
    if (!inView()) jobs.go("?view=jobs");
    jobs.byId("jobs-find").querySelector("input").focus();
  });
  jobs.key("↑ ↓", "from the row of one job to the next; Enter selects it");
  jobs.key("x", "run the selected job", () => {
    const run = jobs.byId("jobs-run");
    if (inView() && run && !run.disabled) run.click();
  });
  jobs.key("Escape", "select no job", () => {
    if (!inView() || !chosen()) return;
    const row = rows().find((each) => each.dataset.job === chosen().dataset.job);
    jobs.go(jobs.addressWith({ job: "" }));
    if (row) row.focus();
  });
})();
