/* The page's elements: to find one, to make one, and to be told when Gradio, which draws when it likes, has drawn some. */
const jobs = (() => {
  const byId = (id) => document.getElementById(id);
  // Text comes to the page as text only.
  const element = (tag, { role, ...properties }, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    if (role) made.setAttribute("role", role);
    made.append(...children);
    return made;
  };

  const touches = [];
  const touch = (act) => touches.push(act);
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      touches.forEach((act) => act());
    });
  }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-at", "data-id", "datetime"] });
  return { byId, element, touch };
})();
