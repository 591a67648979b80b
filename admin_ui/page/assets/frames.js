"use strict";
/* Gradio's first "loading" sign asks for a frame in each frame, and goes on when it is gone from the page (6.31: its timer
 * is not stopped with it): all work of a window at rest sixty times a second, most of what it costs. Each frame that is
 * asked for within another belongs to the same chain; one that began before the page was there and still goes on
 * long afterwards is let go. Only on a page of our own: in a larger one it may be an animation of somebody else's. */
(() => {
  const LET_GO_AFTER_MS = 5000;
  const request = window.requestAnimationFrame.bind(window);
  let current = null; // the chain of the frame that is being drawn
  let began = 0; // when the page was there
  const isEndless = (chain) => {
    if (!began && document.querySelector("#jobs.alone #jobs-go")) began = performance.now();
    return chain.isEarly && began && performance.now() - began > LET_GO_AFTER_MS;
  };
  window.requestAnimationFrame = (act) => {
    const chain = current || { isEarly: !began };
    if (isEndless(chain)) return 0;
    return request((now) => {
      current = chain;
      try {
        act(now);
      } finally {
        current = null;
      }
    });
  };
})();
