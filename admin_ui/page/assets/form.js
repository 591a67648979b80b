/* The form: drafts that survive a reload, messages at their fields, presets, and what follows a conflict. */
jobs.form = (() => {
  const SKIP = { __type__: "update" }; // Gradio's word for a value that stays as it is
  const current = () => (["new", "edit"].includes(jobs.view()) ? jobs.view() : "");
  const part = (view, name) => jobs.byId(`jobs-${view}-${name}`);

  // What is typed goes from the window only when its writer lets go of it: a draft does not hold all of it.
  let typed = false;
  jobs.holdBack(() => typed && Boolean(current()));

  // Drafts: the values of the inputs, but for the last: the environment may hold secrets.
  let over = null; // the version that is to be written over, after a conflict
  const held = {}; // by view, the key of what its inputs hold: the address changes before they do
  const keyOf = (view) => `jobs-draft:${view}:${view === "edit" ? jobs.value("job") : ""}`;
  const key = (view) => held[view] || keyOf(view);
  const keep = (view, values) => jobs.session.set(key(view), JSON.stringify(values.slice(0, -1)));
  const restored = (view, values) => {
    over = null;
    typed = false;
    held[view] = keyOf(view);
    const draft = JSON.parse(jobs.session.get(key(view)) || "null");
    const said = (list) => JSON.stringify(list.slice(1));
    if (!draft || draft.length !== values.length - 1 || said(draft) === said(values.slice(0, -1))) {
      jobs.session.remove(key(view));
      return ["", ...values.map(() => SKIP)];
    }
    // The draft keeps the version that it began with, so that saving it over a newer one is noticed.
    const note = "Restored what you had typed (without the environment).";
    const button = '<button type="button" data-do="load">Discard</button>';
    return [`<p class="notice" role="status">${note} ${button}</p>`, ...draft, SKIP];
  };
  const load = () => {
    jobs.session.remove(key(current()));
    jobs.go(jobs.address());
  };

  // A draft is nobody's business but its writer's: it goes at the sign-out, in all windows.
  const forget = () => {
    const drafts = jobs.session.names().filter((name) => name.startsWith("jobs-draft:"));
    drafts.forEach((name) => jobs.session.remove(name));
  };
  const windows = new BroadcastChannel("jobs-sign-out");
  windows.addEventListener("message", () => {
    forget();
    setTimeout(() => location.reload(), 1000); // the sign-out is on its way; what stands here is not to stay
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches('form[action$="/sign-out"]')) return;
    forget();
    windows.postMessage("");
  }, true);

  // Saving
  let savedKey = "";
  const SETTLES_MS = 5000; // a look may have found what is being saved before its answer is here, or not yet
  let quietUntil = 0;
  const saving = (view, values) => {
    savedKey = key(view);
    const version = over === null ? values[0] : over;
    over = null;
    quietUntil = Date.now() + SETTLES_MS;
    jobs.asked(values[2] || "The job");
    return [version, ...values.slice(1)];
  };
  const save = () => current() && part(current(), "save").click();
  // The second half of a double click comes when the first one's answer may have led to another form.
  document.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target.closest(".job-save button")) event.stopImmediatePropagation();
  }, true);
  const saveOver = async (button) => {
    const title = `${button.textContent}?`;
    const text = "What the form shows is written. What somebody else changed in these fields is lost.";
    if (!(await jobs.ask(title, text, "Write", true))) return;
    over = button.dataset.version;
    save();
  };

  // What the last look found is news if the form holds another version. Both are told already where they stand in conflict.
  const tellNews = (view) => {
    const news = part(view, "news").querySelector("[data-version]");
    if (!news) return;
    const held = part(view, "version").querySelector("textarea, input").value;
    const isOwn = news.dataset.version === held || Date.now() < quietUntil;
    news.hidden = !held || isOwn || Boolean(part(view, "answer").querySelector(".conflict"));
  };

  // Gradio fits a text box to its lines when it is filled, and cannot measure one that is folded away.
  const MOST_LINES = 16; // its `max_lines` in form.py
  const fit = (area) => {
    const { lineHeight, paddingTop, paddingBottom } = getComputedStyle(area);
    const most = MOST_LINES * parseFloat(lineHeight) + parseFloat(paddingTop) + parseFloat(paddingBottom);
    area.style.overflowY = area.scrollHeight > most + 1 ? "auto" : "hidden";
    area.style.height = `${Math.min(area.scrollHeight, most)}px`;
  };
  const unfold = (view, open) => {
    part(view, "fold").querySelector("button").setAttribute("aria-expanded", String(open));
    if (open) part(view, "more").querySelectorAll("textarea").forEach(fit);
  };

  // Messages stand at their fields until these change.
  let answered = "";
  let touched = new Set();
  // A summary that names no field any more, and says nothing else, has been seen to.
  const tellLeft = (view) => {
    const problems = part(view, "answer").querySelector(".problems");
    if (!problems) return;
    const names = [...problems.querySelectorAll("[data-of]")];
    names.forEach((name) => (name.hidden = touched.has(name.dataset.of)));
    const saysMore = problems.querySelectorAll("p:not([data-field])").length > 1;
    problems.hidden = Boolean(names.length) && !saysMore && names.every((name) => name.hidden);
  };
  const showMessages = (view) => {
    const messages = new Map();
    part(view, "answer").querySelectorAll("[data-field]").forEach((each) => {
      if (!touched.has(each.dataset.field)) messages.set(each.dataset.field, each.textContent);
    });
    tellLeft(view);
    const live = new Set();
    part(view, "preview").querySelectorAll("[data-field]").forEach((each) => {
      each.id = `jobs-${view}-${each.dataset.field}-live`;
      live.add(each.dataset.field);
    });
    part(view, "form").querySelectorAll(".job-input").forEach((block) => {
      const name = block.id.slice(`jobs-${view}-`.length);
      const text = (!live.has(name) && messages.get(name)) || "";
      let place = jobs.byId(`${block.id}-error`);
      if (text && !place) {
        place = jobs.element("p", { id: `${block.id}-error`, className: "field-error", role: "alert" });
        block.append(place);
      }
      if (place && place.textContent !== text) place.textContent = text;
      const input = block.querySelector("textarea, input");
      const described = live.has(name) ? `${block.id}-live` : text ? `${block.id}-error` : "";
      if (!input || (input.getAttribute("aria-describedby") || "") === described) return;
      described ? input.setAttribute("aria-describedby", described) : input.removeAttribute("aria-describedby");
      input.setAttribute("aria-invalid", String(Boolean(described)));
    });
  };
  const takeAnswer = (view) => {
    const answer = part(view, "answer").querySelector("[data-id]");
    if (!answer || answer.dataset.id === answered) return;
    answered = answer.dataset.id;
    jobs.answered(); // also where no message comes with it
    over = null;
    touched = new Set();
    if ("saved" in answer.dataset) {
      typed = false;
      jobs.session.remove(savedKey);
      jobs.refresh();
      return;
    }
    const first = answer.querySelector("[data-field]");
    if (!first) return;
    const block = part(view, first.dataset.field);
    if (part(view, "more").contains(block)) unfold(view, true);
    block.querySelector("textarea, input").focus();
  };

  // The browser knows the names of the time zones: the page need not send them. Others may be typed.
  const offerZones = (view) => {
    if (!jobs.byId("jobs-zones")) {
      const names = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((name) => name !== "UTC")];
      document.body.append(
        jobs.element("datalist", { id: "jobs-zones" }, ...names.map((value) => jobs.element("option", { value }))),
      );
    }
    const input = part(view, "timezone").querySelector("input");
    if (input) input.setAttribute("list", "jobs-zones");
  };

  // The first of the next times has come: ask for the next ones.
  let passed = "";
  const askNext = (view) => {
    const first = part(view, "preview").querySelector("time");
    if (!first || first.dateTime === passed || Date.parse(first.dateTime) > jobs.now()) return;
    passed = first.dateTime;
    part(view, "passed").click();
  };
  // On a slow machine Gradio draws a form over several frames, in no certain order.
  const isDrawn = (view) => ["answer", "news", "preview", "timezone", "version"].every((name) => part(view, name));
  jobs.touch(() => {
    const view = current();
    if (!view || !isDrawn(view)) return;
    offerZones(view);
    takeAnswer(view);
    showMessages(view);
    tellNews(view);
    askNext(view);
  });

  document.addEventListener("input", (event) => {
    const block = event.target.closest(".job-input");
    if (!block || !current()) return;
    typed = true;
    touched.add(block.id.slice(`jobs-${current()}-`.length));
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest(".job-form button");
    if (!button || !current()) return;
    if (button.dataset.do === "load") load();
    if (button.dataset.do === "more") unfold(current(), button.getAttribute("aria-expanded") === "false");
    if (button.dataset.do === "over") saveOver(button);
    if (!button.dataset.schedule) return;
    const input = part(current(), "schedule").querySelector("textarea, input");
    input.value = button.dataset.schedule;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.focus();
  });
  jobs.key("Ctrl+Enter", "save the form", save);

  const choose = (name) => name && jobs.go(`?view=edit&job=${encodeURIComponent(name)}`);
  return { choose, keep, restored, saving };
})();
