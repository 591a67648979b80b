/* Gradio's inputs, where they differ from what people expect of one. */
(() => {
  // Its text boxes tell of pressed characters only, not of what is pasted, cut, deleted, undone or comes from a phone's
  // keyboard: those get the event that they lack.
  let pressed = false;
  document.addEventListener("keypress", () => {
    pressed = true;
    setTimeout(() => (pressed = false)); // its input comes before that
  }, true);
  document.addEventListener("input", ({ target }) => {
    const isText = target.matches("#jobs textarea, #jobs input[type=text], #jobs input:not([type])");
    if (isText && !pressed) target.dispatchEvent(new KeyboardEvent("keypress", { key: "Unidentified" }));
  });

  // Who goes to a choice that can be typed into means to write over what is chosen; Gradio would look for both together.
  // A press of the mouse puts the cursor there after the focus has come.
  const isChoice = (target) => target.matches("#jobs input[role=combobox]");
  const isTyped = (target) => isChoice(target) && !target.readOnly;
  let enters = null;
  document.addEventListener("focusin", ({ target }) => isTyped(target) && target.select());
  document.addEventListener("mousedown", ({ target }) => (enters = target === document.activeElement ? null : target));
  document.addEventListener("click", ({ target }) => {
    if (target === enters && isTyped(target) && target.selectionStart === target.selectionEnd) target.select();
  });
  // A list that scrolls would be a stop for the Tab key, and close at it: the focus would fall out of the page.
  jobs.touch(() => document.querySelectorAll("#jobs [role=listbox]:not([tabindex])").forEach((list) => (list.tabIndex = -1)));
  // Gradio opens the list a frame after any key: also when that was Tab, or another one just before, and has left it.
  const closeList = (choice) => {
    if (choice === document.activeElement) return;
    choice.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  };
  document.addEventListener("focusout", ({ target }) => {
    if (isChoice(target)) requestAnimationFrame(() => setTimeout(closeList, 0, target));
  });
})();
