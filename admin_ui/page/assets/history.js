/* The history: filters that change the address, its labels in the chosen zone, the filters' fold on a phone. */
jobs.history = (() => {
  // Gradio calls this with what was typed or chosen, also where one only left the input.
  const narrow = (field, text) =>
    jobs.view() === "history" && (text || "") !== jobs.value(field) ? jobs.narrow({ [field]: text, before: "" }) : [];

  const SHORT = { dateStyle: "short", timeStyle: "short" };
  const labelTicks = () => document.querySelectorAll("#jobs-history-charts [data-tick]").forEach((tick) => {
    const [begin, end] = tick.dataset.part.split(",");
    const text = jobs.inZone(SHORT, tick.parentElement.dataset.zone).format(new Date(tick.dataset.tick)).slice(begin, end);
    if (tick.textContent !== text) tick.textContent = text;
  });

  // What is wrong with a text belongs to its input, for those who do not see it below.
  const tieErrors = () => ["since", "until", "find"].forEach((field) => {
    const input = document.querySelector(`#jobs-history-${field} :is(input, textarea)`);
    const place = jobs.byId(`jobs-history-${field}-wrong`);
    if (!input || !place) return;
    const wrong = String(Boolean(place.querySelector(".wrong")));
    if (input.getAttribute("aria-invalid") === wrong) return;
    input.setAttribute("aria-invalid", wrong);
    if (wrong === "true") open = true;
    input.setAttribute("aria-describedby", place.id);
  });

  let open = false;
  const showFold = () => {
    const button = jobs.byId("jobs-history-fold");
    const filters = jobs.byId("jobs-history-filters");
    if (!button || !filters) return;
    if (button.getAttribute("aria-expanded") !== String(open)) button.setAttribute("aria-expanded", String(open));
    filters.classList.toggle("folded", !open);
  };
  document.addEventListener("click", (event) => {
    if (event.target.id === "jobs-history-again") jobs.lookAgain();
    if (event.target.id !== "jobs-history-fold") return;
    open = !open;
    showFold();
  });
  document.addEventListener("change", (event) => event.target.id === "jobs-zone" && labelTicks());
  jobs.touch(labelTicks);
  jobs.touch(tieErrors);
  jobs.touch(showFold);
  return { narrow };
})();
