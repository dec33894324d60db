// A device's log, live: follows the stream of its lines, keeps the newest, filters and pauses here.
import { memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Button, TextField } from "@radix-ui/themes";
import { ArrowDown, Copy, Download, Pause, Play, Search } from "lucide-react";

const KEPT = 1000;
const TAIL = 500;
const PAINT_MS = 100;
const AGAIN_MS = 5000;
const NEAR_PX = 24;
const LEVEL = /^([EWIDV]) \(\d+\)/;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

const lineOf = (id, text) => ({
  id,
  text,
  at: clock.format(new Date(Number(id.split("-")[0]))),
  level: text.startsWith("[testbench]") ? "bench" : (LEVEL.exec(text)?.[1] ?? ""),
});

// The lines as they come. A page that nobody sees holds no connection: browsers have six a host.
function useLines(url) {
  const [lines, setLines] = useState([]);
  const [lost, setLost] = useState(false);
  useEffect(() => {
    let source = null, last = "", fresh = [], painting = 0, again = 0;
    const paint = () => {
      painting = 0;
      const arrived = fresh;
      fresh = [];
      setLines((before) => [...before, ...arrived].slice(-KEPT));
    };
    const close = () => { clearTimeout(again); source?.close(); source = null; };
    const open = () => {
      close();
      if (document.hidden) return;
      source = new EventSource(`${url}?${last ? `after=${last}` : `tail=${TAIL}`}`);
      source.onopen = () => setLost(false);
      source.onerror = () => {
        setLost(true);
        if (source?.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_MS);
      };
      source.addEventListener("log", (event) => {
        last = event.lastEventId;
        fresh.push(lineOf(last, event.data));
        painting ||= setTimeout(paint, PAINT_MS);
      });
    };
    const seen = () => (document.hidden ? close() : open());
    setLines([]);
    open();
    document.addEventListener("visibilitychange", seen);
    return () => {
      document.removeEventListener("visibilitychange", seen);
      clearTimeout(painting);
      close();
    };
  }, [url]);
  return [lines, lost];
}

const Line = memo(function Line({ line }) {
  return (
    <div className="tb-log-line" data-level={line.level}>
      <time className="tb-log-time">{line.at}</time>
      <span>{line.text}</span>
    </div>
  );
});

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP a browser has no clipboard of its own to offer.
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function download(text, name) {
  const href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  Object.assign(document.createElement("a"), { href, download: `${name.replace(/[^\w.-]+/g, "-")}.log` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}

// Keeps at the end while the reader is there; who scrolled up stays where they are.
function useEnd(shown) {
  const box = useRef(null);
  const [atEnd, setAtEnd] = useState(true);
  const toEnd = useCallback(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
    setAtEnd(true);
  }, []);
  const onScroll = useCallback(() => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    setAtEnd(scrollHeight - scrollTop - clientHeight < NEAR_PX);
  }, []);
  useLayoutEffect(() => { if (atEnd) toEnd(); }, [shown, atEnd, toEnd]);
  return { box, atEnd, toEnd, onScroll };
}

export function LogView({ url, name = "device" }) {
  const [lines, lost] = useLines(url);
  const [held, setHeld] = useState(null);
  const [filter, setFilter] = useState("");
  const [copied, setCopied] = useState(false);
  const base = held ?? lines;
  const shown = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    return wanted ? base.filter((line) => line.text.toLowerCase().includes(wanted)) : base;
  }, [base, filter]);
  const { box, atEnd, toEnd, onScroll } = useEnd(shown);
  const waiting = held ? lines.length - 1 - lines.findLastIndex((line) => line.id === held.at(-1)?.id) : 0;
  const text = () => shown.map((line) => `${line.at} ${line.text}\n`).join("");
  const onCopy = () => copy(text()).then(() => { setCopied(true); setTimeout(() => setCopied(false), 2000); });
  return (
    <div className="tb-log">
      <div className="tb-log-bar">
        <TextField.Root size="2" type="search" placeholder="Filter lines" aria-label="Filter lines" maxLength={200}
          value={filter} onChange={(event) => setFilter(event.target.value)} className="tb-log-filter">
          <TextField.Slot><Search size={14} aria-hidden /></TextField.Slot>
        </TextField.Root>
        <Button variant="soft" color={held ? undefined : "gray"} onClick={() => setHeld(held ? null : lines)} aria-pressed={held !== null}>
          {held ? <Play size={14} aria-hidden /> : <Pause size={14} aria-hidden />}
          {held ? "Resume" : "Pause"}
        </Button>
        <span className="tb-help tb-num" role="status">
          {held ? `Paused, ${waiting >= KEPT ? `${KEPT} or more` : waiting} new`
            : lost ? "Not connected to the bench; trying again."
              : filter.trim() ? `${shown.length} of ${base.length} lines` : `${base.length} lines`}
        </span>
        <span className="tb-log-tools">
          <Button variant="ghost" color="gray" onClick={onCopy} disabled={!shown.length}>
            <Copy size={14} aria-hidden />{copied ? "Copied" : "Copy"}
          </Button>
          <Button variant="ghost" color="gray" onClick={() => download(text(), name)} disabled={!shown.length}>
            <Download size={14} aria-hidden />Download
          </Button>
        </span>
      </div>
      <div className="tb-log-lines" ref={box} onScroll={onScroll} role="log" aria-live="off" aria-label={`Log of ${name}`} tabIndex={0}>
        {shown.length ? shown.map((line) => <Line key={line.id} line={line} />)
          : <p className="tb-help">{base.length ? "No line has this in it." : "No lines yet. They appear here as the device writes them."}</p>}
      </div>
      {!atEnd && (
        <Button size="1" className="tb-log-end" onClick={toEnd}><ArrowDown size={12} aria-hidden />Newest</Button>
      )}
    </div>
  );
}
