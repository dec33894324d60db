// Values a person reads: how long ago, how long, how much. Each formats in the browser's own
// locale and zone, and "3 min ago" ticks without asking the server.
import { useEffect, useState } from "react";

const DASH = "–";

export const toMs = (at) =>
  at === null || at === undefined || at === ""
    ? NaN
    : typeof at === "number"
      ? at
      : Date.parse(at);

export function absolute(ms) {
  return new Date(ms).toLocaleString(undefined, {
    year: "numeric", month: "short", day: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  });
}

export function duration(seconds) {
  const s = Number(seconds);
  if (!Number.isFinite(s)) return DASH;
  if (s < 1 && s > 0) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${Number.isInteger(s) ? s : s.toFixed(1)} s`;
  const whole = Math.round(s);
  const [d, h, m] = [Math.floor(whole / 86400), Math.floor((whole % 86400) / 3600), Math.floor((whole % 3600) / 60)];
  const parts = d ? [[d, "d"], [h, "h"]] : h ? [[h, "h"], [m, "m"]] : [[m, "m"], [whole % 60, "s"]];
  return parts.filter(([n], i) => i === 0 || n).map(([n, unit]) => `${n} ${unit}`).join(" ");
}

// 4.29 G, as devices and electricians write it.
function large(value) {
  const [by, prefix] = Math.abs(value) >= 1e12 ? [1e12, "T"] : [1e9, "G"];
  return `${(value / by).toLocaleString(undefined, { maximumFractionDigits: 2 })}\u00a0${prefix}`;
}

// How a unit is told where its numbers are long: divided by, and under which name.
export function scaleOf(unit, size) {
  if (unit === "B") return size >= 1e9 ? [1e9, "GB"] : size >= 1e6 ? [1e6, "MB"] : size >= 1e4 ? [1e3, "kB"] : [1, "B"];
  if (unit === "s") return size >= 172800 ? [86400, "d"] : size >= 7200 ? [3600, "h"] : size >= 600 ? [60, "min"] : [1, "s"];
  return [1, unit];
}

export function number(value) {
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value !== "number") return value === null || value === undefined ? DASH : String(value);
  if (!Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (size >= 1e9 && size < 1e15) return large(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return value.toExponential(3);
  const decimals = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
  // A fraction keeps its digits, so that a live value does not change its width.
  const fewest = Number.isInteger(value) ? 0 : Math.min(decimals, 2);
  return value.toLocaleString(undefined, { minimumFractionDigits: fewest, maximumFractionDigits: decimals });
}

function since(ms, now) {
  const s = Math.max(0, Math.round((now - ms) / 1000));
  if (s < 3) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

// Re-renders as often as its text can change.
function useNow(pause) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setTimeout(() => setNow(Date.now()), pause(Date.now()));
    return () => clearTimeout(timer);
  });
  return now;
}

export function Ago({ at, empty = "never", className = "" }) {
  const ms = toMs(at);
  useNow((now) => (now - ms < 60e3 ? 1000 : now - ms < 3600e3 ? 20e3 : 300e3));
  if (Number.isNaN(ms)) return <span className={`tb-muted ${className}`}>{empty}</span>;
  return (
    <time className={`tb-num ${className}`} dateTime={new Date(ms).toISOString()} title={absolute(ms)} suppressHydrationWarning>
      {since(ms, Date.now())}
    </time>
  );
}

export function Moment({ at, empty = DASH, className = "" }) {
  const ms = toMs(at);
  if (Number.isNaN(ms)) return <span className={`tb-muted ${className}`}>{empty}</span>;
  return <time className={`tb-num ${className}`} dateTime={new Date(ms).toISOString()} title={since(ms, Date.now())}>{absolute(ms)}</time>;
}

export function Countdown({ until, suffix = "left", over = "finishing", className = "" }) {
  const now = useNow(() => 1000);
  const ms = toMs(until);
  if (Number.isNaN(ms)) return null;
  const left = Math.round((ms - now) / 1000);
  return <span className={`tb-num ${className}`}>{left > 0 ? `${duration(left)} ${suffix}` : over}</span>;
}

export function Span({ seconds, className = "" }) {
  return <span className={`tb-num ${className}`}>{duration(seconds)}</span>;
}

export function Thousands({ value }) {
  return <>{Number(value).toLocaleString()}</>;
}

export function Amount({ value, unit, brief = false, className = "" }) {
  if (brief && typeof value === "number") {
    if (unit === "s" && value >= 60) return <span className={`tb-num ${className}`}>{duration(value)}</span>;
    const [by, name] = scaleOf(unit, Math.abs(value));
    [value, unit] = [value / by, name];
  }
  const text = number(value);
  return (
    <span className={`tb-num ${className}`}>
      {text}
      {unit && text !== DASH ? <span className="tb-unit">{"\u00a0"}{unit}</span> : null}
    </span>
  );
}

// Asks the page's state every so often, while the page can be seen.
export function Every({ seconds, onTick }) {
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) onTick(); }, seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds, onTick]);
  return null;
}
