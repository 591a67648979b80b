"use strict";
/* What all views share: the address, times, the pace of refreshing, dialogs, keys. Text comes to the page as text only. */
const jobs = (() => {
  const byId = (id) => document.getElementById(id);
  const SILENT_AFTER_SECONDS = 10;
  const QUICK_SECONDS = 2;
  const BARRED_SECONDS = 15;
  const DRAWN_MS = 100;
  const TOLD_MS = 2000; // long enough to read why the sign-in comes

  // The address. The browser's own is the truth; in the hidden field the server says where to go.
  const address = () => location.search || "?view=jobs";
  const value = (name) => new URLSearchParams(address()).get(name) || "";
  const VIEWS = ["jobs", "history", "logs", "new", "edit"];
  const view = () => VIEWS.find((name) => name === value("view")) || "jobs";
  const showView = () => {
    document.documentElement.dataset.jobsView = view();
  };
  // Shows this view with some fields changed ("" takes one away), for inputs that filter: no step for the Back button.
  const narrow = (fields) => {
    const query = new URLSearchParams(address());
    for (const [name, text] of Object.entries(fields)) text ? query.set(name, text) : query.delete(name);
    history.replaceState(null, "", `?${query}`);
    refresh();
    return [];
  };
  // Each view has two unseen buttons of Gradio's, which fill all of it, or what has changed.
  // Returns whether they are there: not in a section that is closed, nor for a moment after it was opened.
  const press = (what) => {
    const [button, column] = [byId(`jobs-${what}-${view()}`), byId(`jobs-${view()}`)];
    const isThere = Boolean(button && column.offsetParent);
    if (isThere) button.click();
    return isThere;
  };
  let opening = ""; // the address that all of the view was asked for, until that is here
  let isOvertaken = false; // by an answer to what was asked after it: its own is lost, or very late
  const opens = () => {
    isOvertaken = false;
    return (opening = address());
  };
  const fill = () => Boolean(opens()) && press("open");
  const open = () => {
    showView();
    typed = null;
    return fill();
  };
  let drawing = 0;
  const openWhenDrawn = () => {
    clearTimeout(drawing);
    if (!open()) drawing = setTimeout(openWhenDrawn, DRAWN_MS);
  };
  const go = (to) => {
    if (to !== location.search) history.pushState(null, "", to);
    open();
  };
  // Gradio calls this with the address that an action leads to; the field is empty again, so that the same one counts.
  // Who has gone on to something else meanwhile stays there.
  let actedAt = "";
  const actsHere = () => (actedAt = address());
  const arrive = (to) => {
    if (to && actedAt === address()) go(to);
    return [""];
  };
  // What is typed into a filter before its view is filled would be written over by that.
  let typed = null;
  document.addEventListener("input", ({ target }) => {
    const isFilter = target.matches("#jobs :is(input, textarea):not([role=combobox], .job-form *)");
    if ((opening || typed) && isFilter) typed = [target, target.value];
  });
  const typeAgain = () => {
    const [target, text] = typed || [];
    if (!target || !target.isConnected || target.value === text) return;
    target.value = text;
    target.dispatchEvent(new Event("input", { bubbles: true }));
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest(':is(#jobs, #jobs-first) a[href^="?"]');
    if (!link || !byId("jobs-go") || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
  addEventListener("popstate", open);
  showView();

  // Refreshing: the stamp says when the last answer was made and when to ask again. The server sends what has changed
  // since the answer before. An answer may be lost, or pass another one: then what is seen is not what it takes for seen,
  // and it is asked for everything.
  const SOON_MS = 200;
  let isKnown = false; // whether what is seen is the server's last answer, and to this address
  let timer = 0;
  let answered = Date.now();
  let askedSince = 0; // since when a question has no answer: a hidden window asks for nothing
  let barredUntil = 0; // after a refusal: each further one would be a line in the audit log
  const refresh = (ask = () => press("again")) => {
    clearTimeout(timer);
    timer = setTimeout(refresh, 1000 * SILENT_AFTER_SECONDS); // asks again, should this one get no answer
    if (document.hidden || Date.now() < barredUntil) return;
    if (ask()) askedSince = askedSince || Date.now();
  };
  const look = () => refresh(opening && isOvertaken && isKnown ? fill : undefined);
  const filled = () => {
    const mark = document.querySelector("#jobs-header [data-opened]");
    if (!mark || mark.dataset.at === filled.last) return;
    filled.last = mark.dataset.at;
    if (mark.dataset.opened === opening) opening = "";
    typeAgain();
    setTimeout(() => {
      typeAgain(); // on a slow machine Gradio draws it over several frames
      if (!opening) typed = null;
    }, DRAWN_MS);
  };
  const stamped = () => {
    const stamp = document.querySelector("#jobs-stamp [data-at]");
    if (!stamp || stamp.dataset.at === stamped.last) return;
    isKnown = stamp.dataset.of === address() && stamp.dataset.at > (stamped.last || "");
    stamped.last = stamp.dataset.at;
    answered = Date.now();
    askedSince = 0;
    over = null;
    clearTimeout(timer);
    timer = setTimeout(look, isKnown ? stamp.dataset.next * 1000 : SOON_MS);
    const first = byId("jobs-first");
    if (first) first.remove();
  };
  // A person, and not the timer, asks: the audit log is told of that.
  let byHand = false;
  const lookAgain = () => {
    byHand = true;
    refresh();
  };
  const asking = () => {
    const how = `${byHand ? "click" : ""} ${isKnown ? "" : "all"}`;
    byHand = isKnown = false;
    isOvertaken = true; // if this is answered first
    return `${address()}#${how}`;
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (!byId("jobs-header")) answered = Date.now(); // what loads is not late yet
    refresh();
  });

  // What this window cannot get over by itself: `over` says why, and how its button is called.
  const ENDED = { why: "Your session has ended: what you did since was not carried out.", word: "Sign in" };
  const BACK = { why: "The service was restarted, or out of reach: this window has to be loaded anew.", word: "Reload" };
  const UNLOADED = { why: "This page has not finished loading: what you see does not change.", word: "Reload" };
  const COPY = "First copy what would be lost: the environment, and what you typed in the meantime.";
  let over = null;
  const holders = [];
  const holdBack = (isHeld) => holders.push(isHeld); // by a form: no draft keeps all that is typed into it
  const isHeld = () => holders.some((each) => each());
  const warnOfSilence = () => {
    const quiet = Math.round((Date.now() - answered) / 1000);
    const isLoaded = Boolean(byId("jobs-header"));
    const since = isLoaded ? askedSince : answered;
    const isSilent = since && Date.now() - since > 1000 * SILENT_AFTER_SECONDS && !document.hidden;
    if (isSilent && !isLoaded && byId("jobs-first")) over = UNLOADED;
    let warning = byId("jobs-silent");
    if (!over && !(isLoaded && isSilent)) {
      if (warning) warning.remove();
      return;
    }
    if (!warning) {
      const button = element("button", { type: "button", onclick: () => location.reload() });
      warning = element("p", { id: "jobs-silent", className: "trouble", role: "alert" }, element("span"), button);
      document.body.prepend(warning);
    }
    const [said, button] = warning.children;
    const text = over
      ? `${over.why}${isHeld() ? ` ${COPY}` : ""}`
      : `No answer from this page's server for ${quiet} s: what you see is that old.`;
    if (said.textContent !== text) said.textContent = text;
    button.hidden = !over;
    button.textContent = over ? over.word : "";
    if (isLoaded && isSilent && quiet % 5 === 0) startAgain();
  };
  // A service that was started anew knows nothing of this window: only a new one can go on. Forms keep their drafts.
  // One that is only slow, to this or to many windows, would be made slower still.
  const startAgain = async () => {
    const asked = Date.now();
    if (asked < barredUntil) return;
    const answer = await fetch(location.href, { method: "HEAD", redirect: "error" }).catch(() => null);
    if (answer && answer.status === 401) return signedOut();
    const isQuick = answer && answer.ok && Date.now() - asked < 1000 * QUICK_SECONDS;
    const isBack = isQuick && stamped.last && Date.now() - answered > 2000 * SILENT_AFTER_SECONDS;
    over = isBack ? BACK : null;
    if (isBack && !isHeld()) location.reload();
  };
  // The sign-in leads back to this address. Only our own is there for sure; of another one its owner has the say.
  const signedOut = () => {
    barredUntil = Date.now() + 1000 * BARRED_SECONDS;
    if (over === ENDED) return;
    over = ENDED;
    document.querySelectorAll(".said.waiting").forEach((note) => note.remove());
    document.querySelectorAll("#jobs button[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
    warnOfSilence();
    const hasOwnSignIn = document.querySelector('form[action$="/sign-out"]');
    if (hasOwnSignIn && !isHeld()) setTimeout(() => location.reload(), TOLD_MS);
  };
  // Of a refusal Gradio says nothing.
  const fetchAnswer = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await fetchAnswer(...asked);
    if (answer.status === 401 && new URL(answer.url).pathname.includes("/gradio_api/")) signedOut();
    return answer;
  };

  // Times. The server writes UTC; here they become the chosen zone's, and "3 min ago" counts on.
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const span = (seconds) => {
    const [unit, size] = UNITS.find(([, each]) => seconds >= each) || UNITS[3];
    return `${Math.floor(seconds / size)} ${unit}`;
  };
  const relative = (at) => {
    const seconds = (Date.now() - at) / 1000;
    return seconds >= 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
  };
  const formats = new Map();
  const format = (options, timeZone) => {
    try {
      return new Intl.DateTimeFormat("sv-SE", { ...options, timeZone });
    } catch {
      return format(options, "UTC"); // the server may know newer zones than the browser
    }
  };
  // Returns what formats times as `options` say, in the zone that was chosen.
  const inZone = (options, jobZone) => {
    const chosen = localStorage.getItem("jobs-zone") || "utc";
    const zone = chosen === "utc" ? "UTC" : chosen === "job" ? jobZone || "UTC" : undefined;
    const name = `${zone} ${Object.keys(options)}`;
    if (!formats.has(name)) formats.set(name, format(options, zone));
    return formats.get(name);
  };
  const TWO = "2-digit";
  const EXACT = { year: "numeric", month: TWO, day: TWO, hour: TWO, minute: TWO, second: TWO, timeZoneName: "short" };
  const absolute = (at, jobZone) => inZone(EXACT, jobZone).format(at);
  const written = new WeakMap(); // what an absolute time was made of: to format all of them each second is dear
  const tell = (time) => {
    const at = new Date(time.dateTime);
    const made = `${time.dateTime} ${time.dataset.zone} ${localStorage.getItem("jobs-zone")}`;
    if (written.get(time) !== made || !time.title) time.title = absolute(at, time.dataset.zone);
    written.set(time, made);
    let text = time.title;
    if ("relative" in time.dataset) text = relative(at);
    else if ("elapsed" in time.dataset) text = span(Math.max(0, (Date.now() - at) / 1000));
    if (time.textContent !== text) time.textContent = text;
    const usual = Number(time.dataset.usual);
    if (usual) time.classList.toggle("late", Date.now() - at > usual * 1000);
  };
  const tellAll = (root = document) => root.querySelectorAll("#jobs time, #jobs-first time").forEach(tell);
  document.addEventListener("change", (event) => {
    if (event.target.id !== "jobs-zone") return;
    localStorage.setItem("jobs-zone", event.target.value);
    tellAll();
  });
  // The header tells the view, and the answer that wrote it may be an earlier one than the address.
  const tellView = () => {
    const head = document.querySelector("#jobs-header h1");
    if (!head) return;
    let title = "Edit job"; // the one view without a link
    document.querySelectorAll("#jobs-header nav a").forEach((link) => {
      const isShown = link.getAttribute("href") === `?view=${view()}`;
      if (isShown) title = link.textContent;
      if (isShown === link.hasAttribute("aria-current")) return;
      isShown ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
    });
    if (head.textContent !== title) head.textContent = title;
  };
  // The tab's title, which is ours to set only on a page of our own. Of an address, only names get into it.
  const tellTitle = () => {
    const head = document.querySelector("#jobs-first h1, #jobs.alone #jobs-header h1");
    if (!head) return;
    const named = (text) => (/^[A-Za-z0-9_-]{1,128}$/.test(text || "") ? text : "");
    const run = named(value("run"));
    const shown = run && document.querySelector(`#jobs-logs [data-run="${run}"]`);
    const job = run ? shown && shown.dataset.job : named(value("job"));
    const title = [...new Set([job, run, head.textContent, "Jobs"])].filter(Boolean).join(" · ");
    if (document.title !== title) document.title = title;
  };
  const chooseZone = () => {
    document.querySelectorAll("#jobs-zone").forEach((select) => {
      const chosen = localStorage.getItem("jobs-zone") || "utc";
      if (select.value !== chosen) select.value = chosen;
    });
  };

  // Dialogs
  const element = (tag, properties, ...children) => {
    const { role, ...others } = properties || {};
    const made = Object.assign(document.createElement(tag), others);
    if (role) made.setAttribute("role", role);
    made.append(...children);
    return made;
  };
  const show = (dialog) => {
    const before = document.activeElement;
    document.body.append(dialog);
    dialog.setAttribute("aria-labelledby", "jobs-dialog-title");
    dialog.addEventListener("close", () => {
      dialog.remove();
      // This event comes late: the browser has given the focus back, and a next key may have led it elsewhere since.
      if (before && before.isConnected && document.activeElement === document.body) before.focus();
    });
    dialog.showModal();
  };
  // Resolves to whether the person agreed. Enter on Cancel, Esc and a click beside it all mean no.
  const ask = (title, text, word, danger = false) =>
    new Promise((resolve) => {
      const cancel = element("button", { type: "button", textContent: "Cancel", autofocus: true });
      const agree = element("button", { type: "button", className: danger ? "do danger" : "do", textContent: word });
      const dialog = element("dialog", { className: "jobs-dialog" },
        element("h2", { id: "jobs-dialog-title", textContent: title }), element("p", { textContent: text }),
        element("div", { className: "buttons" }, cancel, agree));
      cancel.onclick = () => dialog.close();
      agree.onclick = () => dialog.close("agreed");
      const opened = performance.now(); // the second click of a double click lands beside it
      dialog.onclick = (event) => event.target === dialog && performance.now() - opened > 500 && dialog.close();
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "agreed"));
      show(dialog);
      cancel.focus();
    });

  // Keys: one letter each, never while somebody types.
  const keys = new Map();
  const key = (letter, help, act) => keys.set(letter, { help, act });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const found = keys.get(event.key);
    const isOurs = document.querySelector("#jobs.alone") || (event.target.closest && event.target.closest("#jobs"));
    if (!found || !isOurs || !byId("jobs-go")) return;
    event.preventDefault();
    found.act();
  });
  // Gradio's text boxes tell of pressed characters only, not of what is pasted, cut, deleted, undone or comes from a
  // phone's keyboard: those get the event that they lack.
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
  // Gradio opens the list a frame after any key: also when that was Tab, or another one just before, and has left it.
  const closeList = (choice) => {
    if (choice === document.activeElement) return;
    choice.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  };
  document.addEventListener("focusout", ({ target }) => {
    if (isChoice(target)) requestAnimationFrame(() => setTimeout(closeList, 0, target));
  });
  const help = () => {
    const list = element("dl", {});
    keys.forEach(({ help: text }, letter) => list.append(element("dt", { textContent: letter }), element("dd", { textContent: text })));
    const close = element("button", { type: "button", textContent: "Close" });
    const dialog = element("dialog", { className: "jobs-dialog" }, element("h2", { id: "jobs-dialog-title", textContent: "Keys" }),
      list, element("div", { className: "buttons" }, close));
    close.onclick = () => dialog.close();
    show(dialog);
  };
  document.addEventListener("click", (event) => {
    if (event.target.id === "jobs-help") help();
  });
  key("?", "this list", help);
  key("j", "all jobs", () => go("?view=jobs"));
  key("h", "history", () => go("?view=history"));
  key("l", "logs", () => go("?view=logs"));
  key("n", "new job", () => go("?view=new"));
  key("r", "look again now", lookAgain);

  // Messages go by themselves, errors when somebody has seen them: on a click or the next message.
  const told = () => {
    const message = document.querySelector("#jobs-said .said");
    if (!message || message.dataset.id === told.last) return;
    told.last = message.dataset.id;
    message.onclick = () => message.classList.add("gone");
    if (message.classList.contains("good")) setTimeout(() => message.classList.add("gone"), 8000);
  };

  // Gradio draws when it likes; whatever appears gets its times, and the views' own touches.
  const touches = [];
  const touch = (act) => touches.push(act);

  // Gradio redraws tables in place: when rows move, the element that has the focus becomes another job's or run's.
  const FOCUSABLE = "#jobs-table tr[data-job], #jobs-table a, #jobs-history-rows a, #jobs-alarm a";
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
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      filled();
      stamped();
      told();
      chooseZone();
      tellView();
      tellTitle();
      tellAll();
      touches.forEach((act) => act());
    });
  }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-at", "data-id", "datetime"] });
  setInterval(() => {
    tellAll();
    warnOfSilence();
  }, 1000);

  return { actsHere, address, arrive, ask, asking, byId, element, go, holdBack, inZone, key, lookAgain, narrow, opens, openWhenDrawn, refresh, touch, value, view };
})();
