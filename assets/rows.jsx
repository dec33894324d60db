// A table of thousands of rows of which the server sends a window: this looks where its box is
// scrolled to and asks for other rows before the last one is reached. It draws nothing.
import { useEffect, useLayoutEffect, useRef } from "react";

const PAUSE_MS = 60;
const REST_MS = 400;
const LEAST = 50;
const BEYOND = 30;

// The page put an address into the history without the router, which then sees no change on Back.
export function OnReturn({ onReturn }) {
  const act = useRef(onReturn);
  act.current = onReturn;
  useEffect(() => {
    const here = window.location.pathname.replace(/\/$/, "");
    const returned = () => {
      if (window.location.pathname.replace(/\/$/, "") === here) act.current();
    };
    window.addEventListener("popstate", returned);
    return () => window.removeEventListener("popstate", returned);
  }, []);
  return null;
}

export function RowWindow({ offset, count, total, top, turn, rowHeight, onMove }) {
  const mark = useRef(null);
  const now = useRef({});
  const held = useRef(null);
  now.current = { offset, count, total, rowHeight, onMove };

  // A new view of the fleet begins where its address says.
  useLayoutEffect(() => {
    mark.current.parentElement.scrollTop = top * rowHeight;
  }, [turn]);

  // What had the focus has scrolled away with its row: the box takes it, so that keys go on.
  useLayoutEffect(() => {
    if (held.current && !held.current.isConnected) {
      held.current = null;
      mark.current.parentElement.focus({ preventScroll: true });
    }
  });

  useEffect(() => {
    const box = mark.current.parentElement;
    let asked = null;
    let told = 0;
    let timer = 0;
    let rest = 0;
    const shown = () => {
      const first = Math.floor(box.scrollTop / now.current.rowHeight);
      return [first, Math.min(now.current.total, first + Math.ceil(box.clientHeight / now.current.rowHeight))];
    };
    const look = () => {
      const { offset, count, total, onMove } = now.current;
      const [first, last] = shown();
      const size = Math.max(LEAST, last - first + BEYOND);
      const spare = Math.min(10, Math.floor((size - (last - first)) / 3));
      const lacksAbove = first < offset + spare && offset > 0;
      const lacksBelow = last > offset + count - spare && offset + count < total;
      if (!lacksAbove && !lacksBelow) return;
      const wanted = Math.max(0, Math.min(total - size, first - Math.floor((size - (last - first)) / 2)));
      if (asked === wanted && performance.now() - told < 2000) return;
      const wait = told + PAUSE_MS - performance.now();
      clearTimeout(timer);
      if (wait > 0) {
        timer = setTimeout(look, wait);
        return;
      }
      asked = wanted;
      told = performance.now();
      onMove(wanted, size);
    };
    // Reload and Back return to these rows.
    const note = () => {
      const url = new URL(window.location.href);
      const [first] = shown();
      if (first) url.searchParams.set("offset", first);
      else url.searchParams.delete("offset");
      if (url.href !== window.location.href) window.history.replaceState(window.history.state, "", url);
    };
    const onScroll = () => {
      look();
      clearTimeout(rest);
      rest = setTimeout(note, REST_MS);
    };
    const onIn = (event) => { held.current = event.target; };
    const onOut = (event) => { if (event.target.isConnected) held.current = null; };
    const resized = new ResizeObserver(look);
    resized.observe(box);
    box.addEventListener("scroll", onScroll, { passive: true });
    box.addEventListener("focusin", onIn);
    box.addEventListener("focusout", onOut);
    return () => {
      clearTimeout(timer);
      clearTimeout(rest);
      resized.disconnect();
      box.removeEventListener("scroll", onScroll);
      box.removeEventListener("focusin", onIn);
      box.removeEventListener("focusout", onOut);
    };
  }, []);
  return <span ref={mark} hidden />;
}
