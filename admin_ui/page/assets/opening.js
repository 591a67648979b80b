/* Opening a view: it is shown at once, and filled with all that it holds; what is typed into it before that is here stays. */
(() => {
  const { address, byId, touch, view } = jobs;
  const DRAWN_MS = 100;

  const show = () => (document.documentElement.dataset.jobsView = view());
  show();

  // Each view has two unseen buttons of Gradio's, which fill all of it, or what has changed.
  // Returns whether they are there: not in a section that is closed, nor for a moment after it was opened.
  const press = (what) => {
    const [button, column] = [byId(`jobs-${what}-${view()}`), byId(`jobs-${view()}`)];
    const isThere = Boolean(button && column.offsetParent);
    if (isThere) button.click();
    return isThere;
  };
  let awaited = null; // the filling that is not here yet: `of` which address
  const filling = () => awaited;
  const opens = () => (awaited = { of: address() }).of;
  const fill = () => {
    opens();
    return press("open");
  };
  let opened = "";
  const isOpened = () => opened === address();
  const open = () => {
    opened = address();
    show();
    typed = null;
    return fill();
  };
  let drawing = 0;
  const openWhenDrawn = () => {
    clearTimeout(drawing);
    if (!open()) drawing = setTimeout(openWhenDrawn, DRAWN_MS);
  };

  let typed = null; // into a filter: its input and the text, over which a filling that comes later writes
  document.addEventListener("input", ({ target }) => {
    const isFilter = target.matches("#jobs :is(input, textarea):not([role=combobox], .job-form *)");
    if ((awaited || typed) && isFilter) typed = [target, target.value];
  });
  const typeAgain = () => {
    const [target, text] = typed || [];
    if (!target || !target.isConnected || target.value === text) return;
    target.value = text;
    target.dispatchEvent(new Event("input", { bubbles: true }));
  };
  let filledAt = "";
  touch(() => {
    const mark = document.querySelector("#jobs-header [data-opened]");
    if (!mark || mark.dataset.at === filledAt) return;
    filledAt = mark.dataset.at;
    if (awaited && awaited.of === mark.dataset.opened) awaited = null;
    typeAgain();
    setTimeout(() => {
      typeAgain(); // on a slow machine Gradio draws it over several frames
      if (!awaited) typed = null;
    }, DRAWN_MS);
  });
  Object.assign(jobs, { fill, filling, isOpened, open, openWhenDrawn, opens, press });
})();
