/* What the header and the tab's title say of the view: an answer may write a header that is older than the address. */
(() => {
  const { touch, value, view } = jobs;

  const tellView = () => {
    const head = document.querySelector("#jobs-header h1");
    if (!head) return;
    const links = [...document.querySelectorAll("#jobs-header nav a")];
    const shown = links.find((link) => link.getAttribute("href") === `?view=${view()}`);
    links.forEach((link) => (link === shown ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current")));
    const title = shown ? shown.textContent : "Edit job"; // the one view without a link
    if (head.textContent !== title) head.textContent = title;
  };
  // The title is ours to set only on a page of our own. Of an address, only names get into it.
  const tellTitle = () => {
    const head = document.querySelector("#jobs-first h1, #jobs.alone #jobs-header h1");
    if (!head) return;
    const named = (text) => (/^[A-Za-z0-9_-]{1,128}$/.test(text) ? text : "");
    const run = named(value("run"));
    const shown = run && document.querySelector(`#jobs-logs [data-run="${run}"]`);
    const job = run ? shown && shown.dataset.job : named(value("job"));
    const title = [...new Set([job, run, head.textContent, "Jobs"])].filter(Boolean).join(" · ");
    if (document.title !== title) document.title = title;
  };
  touch(tellView);
  touch(tellTitle);
})();
