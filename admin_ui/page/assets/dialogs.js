/* Dialogs: above everything else until they are closed, and then the focus is where it was. A click beside one closes it. */
(() => {
  const { element } = jobs;

  // Returns a dialog with a title, which is not shown yet.
  const dialogOf = (title, ...children) => {
    const dialog = element("dialog", { className: "jobs-dialog" },
      element("h2", { id: "jobs-dialog-title", textContent: title }), ...children);
    dialog.setAttribute("aria-labelledby", "jobs-dialog-title");
    return dialog;
  };
  const show = (dialog) => {
    const before = document.activeElement;
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      dialog.remove();
      // This event comes late: the browser has given the focus back, and a next key may have led it elsewhere since.
      if (before && before.isConnected && document.activeElement === document.body) before.focus();
    });
    const opened = performance.now(); // the second click of a double click lands beside it
    dialog.addEventListener("click", ({ target }) => target === dialog && performance.now() - opened > 500 && dialog.close());
    dialog.showModal();
  };
  // Resolves to whether the person agreed. Enter on Back, Esc and a click beside it all mean no.
  const ask = (title, text, word, danger = false) =>
    new Promise((resolve) => {
      const back = element("button", { type: "button", textContent: "Back", autofocus: true });
      const agree = element("button", { type: "button", className: danger ? "do danger" : "do", textContent: word });
      const effect = element("p", { id: "jobs-dialog-text", textContent: text });
      const dialog = dialogOf(title, effect, element("div", { className: "buttons" }, back, agree));
      dialog.setAttribute("aria-describedby", effect.id);
      back.onclick = () => dialog.close();
      agree.onclick = () => dialog.close("agreed");
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "agreed"));
      show(dialog);
    });
  const tell = (title, ...content) => {
    const close = element("button", { type: "button", textContent: "Close", autofocus: true });
    const dialog = dialogOf(title, ...content, element("div", { className: "buttons" }, close));
    close.onclick = () => dialog.close();
    show(dialog);
  };
  Object.assign(jobs, { ask, tell });
})();
