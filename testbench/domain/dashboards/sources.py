"""How each data source is asked: SQL over the bench's tables, InfluxQL, or PromQL.

Grafana replaces `$…`, `${…}` and `[[…]]` in every query before it is sent: what a device calls its
metrics is written so that none of these can stand in it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from testbench.domain.axeos import UNITS
from testbench.domain.metrics import exposed

SourceKind = Literal["postgres", "influxdb", "prometheus"]
TYPES: dict[SourceKind, str] = {
    "postgres": "grafana-postgresql-datasource",
    "influxdb": "influxdb",
    "prometheus": "prometheus",
}
INTERVAL = "5s"
"""The shortest step of a chart: readings of polled devices come no faster."""
_PLAIN = re.compile(r"[\w .:/%+-]*")

# A bool has no number: its JSON does.
_VALUE = "coalesce(r.value, CASE r.other WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"
_ONE_DEVICE = """
SELECT $__timeGroupAlias(r.ts,$__interval), s.metric AS metric, avg({value}) AS value
FROM series s JOIN readings r ON r.series_id = s.id
WHERE s.device_id = '{device}' AND s.metric IN ({metrics}) AND $__timeFilter(r.ts)
GROUP BY 1, 2 ORDER BY 1
"""
_BY_DEVICE = """
SELECT $__timeGroupAlias(r.ts,$__interval), d.name AS metric, avg({value}) AS value
FROM devices d JOIN series s ON s.device_id = d.id JOIN readings r ON r.series_id = s.id
WHERE d.removed_at IS NULL AND s.metric = {metric} AND $__timeFilter(r.ts){chosen}
GROUP BY 1, 2 ORDER BY 1
"""
_TOTAL = """
SELECT time AS "time", sum(value) AS value FROM (
    SELECT $__timeGroup(r.ts,$__interval) AS time, s.id, avg({value}) AS value
    FROM devices d JOIN series s ON s.device_id = d.id JOIN readings r ON r.series_id = s.id
    WHERE d.removed_at IS NULL AND s.metric = {metric} AND $__timeFilter(r.ts)
    GROUP BY 1, 2) AS each GROUP BY 1 ORDER BY 1
"""
_ONLINE = """
SELECT now() AS "time", count(*) AS value FROM presence p JOIN devices d ON d.id = p.device_id
WHERE d.removed_at IS NULL AND p.last_seen > now() - make_interval(secs => d.offline_after_s)
"""
_DEVICES = 'SELECT name AS "__text", id::text AS "__value" FROM devices WHERE removed_at IS NULL'
_DEVICES_SQL = f"{_DEVICES} ORDER BY 1"
_FLUX = 'FROM "readings" WHERE {where} AND $timeFilter GROUP BY time($__interval)'


@dataclass(frozen=True)
class Source:
    """A data source of Grafana's."""

    kind: SourceKind
    uid: str

    @property
    def ref(self) -> dict[str, str]:
        """How panels name it."""
        return {"type": TYPES[self.kind], "uid": self.uid}

    def of_device(
        self, device_id: str, metrics: Sequence[tuple[str, str]], *, axeos: bool, states: bool
    ) -> list[dict[str, Any]]:
        """One device's (metric, unit) over time, each a line by its name."""
        names = [metric for metric, _ in metrics]
        if self.kind == "postgres":
            listed = ", ".join(map(_literal, names))
            return [self._sql(_ONE_DEVICE.format(value=_VALUE, device=device_id, metrics=listed))]
        if self.kind == "influxdb":
            where = f"\"device\" = '{device_id}' AND {_metric_is(names)}"
            return [self._influxql(_values(where, "metric", states=states), "$tag_metric")]
        return [
            self._promql(_of_device(device_id, metric, unit, axeos=axeos), metric, number)
            for number, (metric, unit) in enumerate(metrics)
        ]

    def by_device(self, metric: str, *, chosen: bool) -> list[dict[str, Any]]:
        """A metric of AxeOS, a line for each device; `chosen`: of those the variable names."""
        if self.kind == "postgres":
            some = " AND d.id::text IN (${device:sqlstring})" if chosen else ""
            sql = _BY_DEVICE.format(value=_VALUE, metric=_literal(metric), chosen=some)
            return [self._sql(sql)]
        if self.kind == "influxdb":
            where = _metric_is([metric]) + (
                ' AND "device" =~ /^${device:regex}$/' if chosen else ""
            )
            return [self._influxql(_values(where, "device"), "$tag_device")]
        selector = '{device_id=~"${device:regex}"}' if chosen else ""
        named = " * on (device_id) group_left (hostname) testbench_device_info"
        series = _series(metric, UNITS[metric], axeos=True)
        return [self._promql(f"{series}{selector}{named}", "{{hostname}}", 0)]

    def total(self, metric: str) -> list[dict[str, Any]]:
        """A metric of AxeOS, added up over the fleet."""
        if self.kind == "postgres":
            return [self._sql(_TOTAL.format(value=_VALUE, metric=_literal(metric)))]
        if self.kind == "influxdb":
            inner = _values(_metric_is([metric]), "device")
            query = f"SELECT sum(v) FROM ({inner}) WHERE $timeFilter GROUP BY time($__interval)"
            return [self._influxql(f"{query} fill(none)", "total")]
        return [self._promql(f"sum({_series(metric, UNITS[metric], axeos=True)})", "total", 0)]

    def online(self) -> list[dict[str, Any]]:
        """How many devices are online; InfluxDB knows who sent readings, in each step of time."""
        if self.kind == "postgres":
            return [self._sql(_ONLINE)]
        if self.kind == "influxdb":
            inner = _FLUX.format(where="\"metric\" != ''")
            query = (
                f'SELECT count(v) FROM (SELECT last("value") AS v {inner}, "device" fill(none))'
                " WHERE $timeFilter GROUP BY time($__interval) fill(none)"
            )
            return [self._influxql(query, "devices")]
        return [self._promql("sum(testbench_device_up)", "online", 0)]

    def devices(self) -> dict[str, Any]:
        """The variable by which a person chooses devices."""
        query: dict[SourceKind, Any] = {
            "postgres": _DEVICES_SQL,
            "influxdb": 'SHOW TAG VALUES FROM "readings" WITH KEY = "device"',
            "prometheus": {
                "query": "label_values(testbench_device_info, device_id)",
                "refId": "devices",
            },
        }
        return {
            "name": "device",
            "label": "Device",
            "type": "query",
            "datasource": self.ref,
            "query": query[self.kind],
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": None,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [],
        }

    def _sql(self, sql: str) -> dict[str, Any]:
        return {
            "refId": "A",
            "datasource": self.ref,
            "editorMode": "code",
            "format": "time_series",
            "rawQuery": True,
            "rawSql": sql.strip(),
        }

    def _influxql(self, query: str, alias: str) -> dict[str, Any]:
        return {
            "refId": "A",
            "datasource": self.ref,
            "rawQuery": True,
            "resultFormat": "time_series",
            "query": query,
            "alias": alias,
        }

    def _promql(self, expression: str, legend: str, number: int) -> dict[str, Any]:
        return {
            "refId": f"A{number}" if number else "A",
            "datasource": self.ref,
            "editorMode": "code",
            "range": True,
            "expr": expression,
            "legendFormat": legend,
        }


def _of_device(device_id: str, metric: str, unit: str, *, axeos: bool) -> str:
    """In the unit that the panel says."""
    scale = exposed(metric, unit, axeos=axeos).scale
    series = f'{_series(metric, unit, axeos=axeos)}{{device_id="{device_id}"}}'
    return series if scale == 1 else f"{series} / {scale}"


def _series(metric: str, unit: str, *, axeos: bool) -> str:
    return f"testbench_{exposed(metric, unit, axeos=axeos).name}"


def _literal(metric: str) -> str:
    """A string of SQL without any character that Grafana would look at."""
    if _PLAIN.fullmatch(metric) and metric.isascii():
        return f"'{metric}'"
    escaped = "".join(c if c.isascii() and c.isalnum() else f"\\+{ord(c):06x}" for c in metric)
    return f"U&'{escaped}'"


def _metric_is(metrics: Sequence[str]) -> str:
    """A condition of InfluxQL; the tag has \\x1c where a name has a backslash."""
    return f'"metric" =~ /^({"|".join(map(_pattern, metrics))})$/'


def _pattern(metric: str) -> str:
    name = metric.replace("\\", "\x1c")
    return "".join(c if c.isalnum() or c == "_" else f"\\x{{{ord(c):x}}}" for c in name)


def _values(where: str, by: str, *, states: bool = False) -> str:
    """The mean of numbers; of states, how many readings were true."""
    if states:
        counted = _FLUX.format(where=f"{where} AND \"other\" = 'true'")
        return f'SELECT count("value") AS v {counted}, "{by}" fill(0)'
    numbers = _FLUX.format(where=f"{where} AND \"other\" = ''")
    return f'SELECT mean("value") AS v {numbers}, "{by}" fill(none)'
