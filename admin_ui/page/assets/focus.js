/* Gradio redraws tables in place: when rows move, the element that has the focus becomes another job's or run's. */
(() => {
  const { touch } = jobs;
  const FOCUSABLE = "#jobs-table tr[data-job], #jobs-table a, #jobs-history-rows a, #jobs-alarm a, #jobs-logs .log a";

  const nameOf = (element) => {
    if (!element || !element.matches || !element.matches(FOCUSABLE)) return "";
    const row = element.closest("#jobs-table tr[data-job]");
    if (!row) return element.getAttribute("href") || "";
    return `${row.dataset.job} ${element === row ? "row" : [...row.querySelectorAll("a")].indexOf(element)}`;
  };
  let focused = "";
  document.addEventListener("focusin", ({ target }) => (focused = nameOf(target)));
  touch(() => {
    const now = nameOf(document.activeElement);
    if (!focused || !now || now === focused) return;
    const same = [...document.querySelectorAll(FOCUSABLE)].find((each) => nameOf(each) === focused);
    if (same) same.focus({ preventScroll: true });
    else focused = now;
  });
})();
