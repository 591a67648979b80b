/* What is said of an action: that it was asked, until the answer is there; and the answer, until it was seen. */
(() => {
  const { actsHere, element, touch } = jobs;
  const UNANSWERED_MS = 15000; // longer than the page's server waits for the scheduler
  const READ_MS = 8000;
  const answer = () => document.querySelector("#jobs-said .said");
  const idOf = (message) => (message ? message.dataset.id : "");

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
    end();
    const text = `${about}: no answer. Look whether it was done before you ask again.`;
    const close = element("button", { type: "button", ariaLabel: "Close", textContent: "×" });
    document.body.append(element("p", { className: "said bad", role: "alert" }, text, close));
  };
  // `about` is what the note names; `button`, if there is one, is busy meanwhile.
  const asked = (about, button = null) => {
    end();
    document.querySelectorAll("body > .said.bad").forEach((old) => old.remove());
    const note = element("p", { className: "said waiting", role: "status", textContent: `${about}: asked, waiting for the answer …` });
    document.body.append(note);
    if (button) button.setAttribute("aria-busy", "true");
    waiting = { note, button, before: idOf(answer()), timer: setTimeout(giveUp, UNANSWERED_MS, about) };
    actsHere();
  };

  // Good news go by themselves, errors when somebody closes them, or with the next message.
  let told = "";
  touch(() => {
    const message = answer();
    if (waiting && idOf(message) !== waiting.before) end();
    if (!message || message.dataset.id === told) return;
    told = message.dataset.id;
    if (message.classList.contains("good")) setTimeout(() => message.classList.add("gone"), READ_MS);
  });
  document.addEventListener("click", ({ target }) => {
    if (target.matches(".said button")) target.parentElement.classList.add("gone");
  });
  Object.assign(jobs, { answered: end, asked });
})();
