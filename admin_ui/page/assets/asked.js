/* What was asked and is not answered yet: that the click was heard is said at once, until the answer is there. */
jobs.asked = (() => {
  const UNANSWERED_MS = 15000; // longer than the page's server waits for the scheduler
  const lastSaid = () => (document.querySelector("#jobs-said .said") || { dataset: {} }).dataset.id;
  let waiting = null;
  const end = () => {
    if (!waiting) return;
    clearTimeout(waiting.timer);
    waiting.note.remove();
    if (waiting.button) waiting.button.removeAttribute("aria-busy");
    waiting = null;
  };
  // The server, or something before it, gave no message at all: whether it was done is not known.
  const giveUp = (about) => {
    const { note } = waiting;
    end();
    note.className = "said bad";
    note.setAttribute("role", "alert");
    note.textContent = `${about}: no answer. Look whether it was done before you ask again.`;
    note.onclick = () => note.remove();
    document.body.append(note);
  };
  // `about` is what the note names; `button`, if there is one, is busy meanwhile.
  const note = (about, button = null) => {
    end();
    document.querySelectorAll("body > .said.bad").forEach((old) => old.remove());
    const said = jobs.element("p", { className: "said waiting", role: "status", textContent: `${about}: asked, waiting for the answer …` });
    document.body.append(said);
    if (button) button.setAttribute("aria-busy", "true");
    waiting = { note: said, button, before: lastSaid(), timer: setTimeout(giveUp, UNANSWERED_MS, about) };
    jobs.actsHere();
  };
  jobs.touch(() => waiting && lastSaid() !== waiting.before && end());
  return { note };
})();
