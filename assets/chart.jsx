// Readings over time: limits as a band, violations as marks, gaps as gaps, zoom by drag
// (double click: all of it again), one hover that reads every series.
import { useMemo, useState } from "react";
import {
  CartesianGrid, ComposedChart, Line, ReferenceArea, ReferenceDot, ReferenceLine,
  ResponsiveContainer, Tooltip, XAxis, YAxis,
} from "recharts";
import { absolute, duration, number, scaleOf } from "$/public/values.jsx";

const COLORS = ["indigo", "teal", "orange", "crimson", "cyan", "grass", "violet", "brown", "plum", "blue", "bronze"];
const GAP_STEPS = 3;

// A metric has the same colour on every page; of two alike in one chart the second moves on.
export function colorOf(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + char.charCodeAt(0)) >>> 0;
  return hash % COLORS.length;
}

function colorsOf(series) {
  const taken = new Set();
  return series.map(({ name, metric, color }) => {
    if (color) return `var(--${color}-10)`;
    let index = colorOf(metric ?? name);
    while (taken.has(index) && taken.size < COLORS.length) index = (index + 1) % COLORS.length;
    taken.add(index);
    return `var(--${COLORS[index]}-10)`;
  });
}

const toNumber = (value) => (typeof value === "boolean" ? Number(value) : typeof value === "number" ? value : null);

// Points as [ms, value|null], a null put into every hole longer than three usual steps.
function withGaps({ points, steps: stepsMs = [], values = [], t0 = 0 }, gapMs) {
  let ts0 = t0;
  const read = points ?? stepsMs.map((step, i) => [(ts0 += step) - t0, values[i]]);
  const own = read.map(([ts, value]) => [ts + t0, toNumber(value)]);
  const steps = own.slice(1).map(([ts], i) => ts - own[i][0]).sort((a, b) => a - b);
  const hole = gapMs || (steps.length ? GAP_STEPS * steps[Math.floor(steps.length / 2)] : Infinity);
  return own.flatMap((point, i) =>
    i > 0 && point[0] - own[i - 1][0] > hole ? [[own[i - 1][0] + 1, null], point] : [point],
  );
}

// The line's value at `ts`: between two readings on the straight line, in a gap none.
function valueAt(points, ts, cursor) {
  while (cursor.i < points.length - 1 && points[cursor.i + 1][0] <= ts) cursor.i += 1;
  const here = points[cursor.i];
  const next = points[cursor.i + 1];
  if (!here || here[0] > ts) return null;
  if (here[0] === ts) return here[1];
  if (!next || here[1] === null || next[1] === null) return null;
  return here[1] + ((next[1] - here[1]) * (ts - here[0])) / (next[0] - here[0]);
}

function merge(all) {
  const times = [...new Set(all.flatMap((points) => points.map(([ts]) => ts)))].sort((a, b) => a - b);
  const cursors = all.map(() => ({ i: 0 }));
  return times.map((ts) => {
    const row = { ts };
    all.forEach((points, k) => { row[`s${k}`] = valueAt(points, ts, cursors[k]); });
    return row;
  });
}

function nearest(points, ts) {
  let best = null;
  for (const point of points) {
    if (point[1] !== null && (best === null || Math.abs(point[0] - ts) < Math.abs(best[0] - ts))) best = point;
  }
  return best;
}

// A round domain around the values, and its ticks.
function scale(bottom, top, by = 1) {
  [bottom, top] = [bottom / by, top / by];
  const room = top - bottom || Math.abs(top) * 0.1 || 1;
  const rough = (room * 1.12) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((n) => n * power >= rough) * power;
  const below = Math.floor((bottom - room * 0.06) / step);
  const first = bottom >= 0 ? Math.max(0, below) : below;
  const last = Math.ceil((top + room * 0.06) / step);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step * by).toPrecision(12)));
  return [[ticks[0], ticks[ticks.length - 1]], ticks];
}

// All ticks of an axis with the same number of decimals.
function plain(ticks, by) {
  const shown = (at) => Number((at / by).toPrecision(12));
  const digits = Math.max(...ticks.map((at) => (String(shown(at)).split(".")[1] ?? "").length));
  if (digits > 6 || Math.abs(shown(ticks[ticks.length - 1])) >= 1e7) return (at) => number(at / by);
  return (at) => shown(at).toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

// Round times, in the browser's zone, at most six.
function timeTicks(from, to, relative) {
  const step = 1000 * (STEPS.find((s) => (to - from) / (s * 1000) <= 6) ?? Math.ceil((to - from) / 6000));
  const shift = relative ? 0 : new Date(from).getTimezoneOffset() * 60e3;
  const first = Math.ceil((from - shift) / step) * step + shift;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, i) => first + i * step);
}

function tick(ts, span, relative) {
  if (relative) return duration(ts / 1000);
  const style = span > 2 * 86400e3
    ? { month: "short", day: "numeric" }
    : { hour: "2-digit", minute: "2-digit", ...(span < 600e3 ? { second: "2-digit" } : {}) };
  return new Date(ts).toLocaleString(undefined, style);
}

function Reading({ active, label, shown, all, colors, relative }) {
  if (!active || label === undefined) return null;
  return (
    <div className="tb-tip">
      <div className="tb-tip-time">{relative ? `after ${duration(label / 1000)}` : absolute(label)}</div>
      {shown.map(({ name, unit }, k) => {
        const point = nearest(all[k], label);
        return (
          <div className="tb-tip-row" key={name + k}>
            <i style={{ background: colors[k] }} /><span>{name}</span>
            <b className="tb-num">{point ? `${number(point[1])}${unit ? ` ${unit}` : ""}` : "–"}</b>
          </div>
        );
      })}
    </div>
  );
}

export function TimeChart({
  series = [], start, end, low, high, measured, marks = [], silences = [], spans = [],
  height = 220, unit, relative = false, gapMs, label, legend = true,
}) {
  const [zoom, setZoom] = useState(null);
  const [drag, setDrag] = useState(null);
  const all = useMemo(() => series.map((one) => withGaps(one, gapMs)), [series, gapMs]);
  const rows = useMemo(() => merge(all), [all]);
  const colors = colorsOf(series);
  const units = [...new Set(series.map((one) => one.unit).filter(Boolean))];
  const axisUnit = unit ?? (units.length === 1 ? units[0] : "");
  const [from, to] = zoom ?? [start ?? rows[0]?.ts ?? 0, end ?? rows[rows.length - 1]?.ts ?? 1];
  const values = all.flat().filter(([ts, v]) => v !== null && ts >= from && ts <= to).map(([, v]) => v);
  for (const limit of [low, high, measured]) if (typeof limit === "number") values.push(limit);
  const empty = !all.some((points) => points.some(([ts, v]) => v !== null && ts >= from && ts <= to));
  const bottom = values.length ? Math.min(...values) : 0;
  const top = values.length ? Math.max(...values) : 1;
  const size = Math.max(Math.abs(bottom), Math.abs(top));
  const [by, axisName] = axisUnit || size < 1e6 ? scaleOf(axisUnit, size) : [1e6, "millions"];
  const [domain, ticks] = scale(bottom, top, by);
  const hasLow = typeof low === "number";
  const hasHigh = typeof high === "number";
  const stop = () => {
    if (drag && Math.abs(drag[1] - drag[0]) > (to - from) / 100) setZoom([Math.min(...drag), Math.max(...drag)]);
    setDrag(null);
  };
  const many = series.length > 1;
  return (
    <figure className="tb-chart" aria-label={label ?? series.map((one) => one.name).join(", ")} role="img">
      {legend && many ? (
        <figcaption className="tb-legend">
          {series.map(({ name, unit: own }, k) => (
            <span key={name + k}><i style={{ background: colors[k] }} />{name}{own ? ` (${own})` : ""}</span>
          ))}
        </figcaption>
      ) : null}
      {zoom ? <button type="button" className="tb-unzoom" onClick={() => setZoom(null)}>Show all</button> : null}
      {empty ? <p className="tb-no-readings"><span>No readings in this time</span></p> : null}
      <ResponsiveContainer width="100%" height={height} initialDimension={{ width: 600, height }}>
        <ComposedChart
          data={rows} margin={{ top: 22, right: 12, bottom: 0, left: 0 }} accessibilityLayer={false}
          onMouseDown={(at) => at?.activeLabel !== undefined && setDrag([Number(at.activeLabel), Number(at.activeLabel)])}
          onMouseMove={(at) => drag && at?.activeLabel !== undefined && setDrag([drag[0], Number(at.activeLabel)])}
          onMouseUp={stop} onMouseLeave={stop} onDoubleClick={() => setZoom(null)}
        >
          <CartesianGrid stroke="var(--gray-a4)" vertical={false} />
          {hasLow || hasHigh ? (
            <ReferenceArea y1={hasLow ? low : domain[0]} y2={hasHigh ? high : domain[1]} fill="var(--green-9)" fillOpacity={0.1} ifOverflow="hidden" />
          ) : null}
          {hasLow ? <ReferenceLine y={low} stroke="var(--green-10)" strokeDasharray="5 4" label={{ value: `low ${number(low)}`, position: "insideBottomLeft", className: "tb-limit" }} /> : null}
          {hasHigh ? <ReferenceLine y={high} stroke="var(--green-10)" strokeDasharray="5 4" label={{ value: `high ${number(high)}`, position: "insideTopLeft", className: "tb-limit" }} /> : null}
          {spans.map(({ from: x1, to: x2 }, k) => <ReferenceArea key={`w${k}`} x1={x1} x2={x2} fill="var(--gray-9)" fillOpacity={0.12} ifOverflow="hidden" />)}
          {silences.map(([x1, x2], k) => <ReferenceArea key={`q${k}`} x1={x1} x2={x2} fill="var(--red-9)" fillOpacity={0.12} ifOverflow="hidden" />)}
          {typeof measured === "number" ? <ReferenceLine y={measured} stroke="var(--gray-11)" strokeDasharray="2 3" label={{ value: number(measured), position: "insideTopRight", className: "tb-limit" }} /> : null}
          <XAxis
            dataKey="ts" type="number" domain={[from, to]} allowDataOverflow scale="linear" ticks={timeTicks(from, to, relative)} minTickGap={16}
            tickFormatter={(ts) => tick(ts, to - from, relative)} stroke="var(--gray-a8)" tick={{ fill: "var(--gray-11)", fontSize: 11 }}
          />
          <YAxis
            width={56} domain={domain} allowDataOverflow tickFormatter={plain(ticks, by)} stroke="var(--gray-a8)"
            tick={{ fill: "var(--gray-11)", fontSize: 11 }} ticks={ticks}
            label={axisName ? { value: axisName, position: "top", offset: 8, className: "tb-limit" } : undefined}
          />
          <Tooltip isAnimationActive={false} cursor={{ stroke: "var(--gray-a8)" }} content={<Reading shown={series} all={all} colors={colors} relative={relative} />} />
          {series.map((one, k) => (
            <Line key={one.name + k} dataKey={`s${k}`} name={one.name} stroke={colors[k]} strokeWidth={1.75} type="linear" dot={rows.length < 3} isAnimationActive={false} connectNulls={false} />
          ))}
          {marks.map(([ts, value], k) => <ReferenceDot key={`m${k}`} x={ts} y={value} r={4} fill="var(--red-9)" stroke="var(--color-background)" ifOverflow="hidden" />)}
          {drag ? <ReferenceArea x1={drag[0]} x2={drag[1]} fill="var(--accent-9)" fillOpacity={0.15} /> : null}
        </ComposedChart>
      </ResponsiveContainer>
    </figure>
  );
}
