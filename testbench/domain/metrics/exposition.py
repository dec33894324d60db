"""The text format of Prometheus (0.0.4), written fast: tens of thousands of samples a scrape.

prometheus_client takes ten times as long, for it makes an object of every sample.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from testbench.domain.axeos import UNITS
from testbench.domain.metrics.names import RESERVED, Exposed, exposed

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_WORDS = {"true": "1", "false": "0"}
_SUMS = frozenset({"hashrate", "power", "shares_accepted", "shares_rejected"})
"""What the overview adds up."""


@dataclass(frozen=True, slots=True)
class Member:
    """A device that is online: how its samples are labelled, and how its own names begin."""

    labels: str
    """`{device_id="…"} `."""
    prefix: str = ""
    """Of its unlabelled names; empty where it has none."""
    axeos: bool = False


@dataclass(slots=True)
class _Family:
    """All samples of one labelled name."""

    exposed: Exposed
    name: str
    lines: list[str] = field(default_factory=list[str])
    shared: bool = False
    """More than one metric wants this name: a device that has several is looked at closely."""


@dataclass(slots=True)
class _Way:
    """Where the samples of one (metric, unit) go."""

    family: _Family
    scale: float
    summed: bool
    known: bool
    """A metric of AxeOS, which has an unlabelled name, too."""
    help: str
    type: str
    sample: str


class Exposition:
    """Collects samples by family; each family is written once, whole."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}
        self._ways: tuple[dict[tuple[str, str], _Way], ...] = ({}, {})
        self._own: list[str] = []

    def add(self, member: Member, readings: Iterable[tuple[str, str]]) -> dict[str, float]:
        """One device's newest readings, each as (metric, `<ts>|[value, unit]`) of the snapshot.

        Strings are left out. Returns the values that the overview adds up, by metric.
        """
        labels, prefix, own = member.labels, member.prefix, self._own
        ways = self._ways[member.axeos]
        found: list[tuple[_Way, str, str]] = []
        for metric, stored in readings:
            value, _, unit = stored.partition("|")[2][1:-1].partition(",")
            if value[:1] == '"' or value == "null":
                continue
            way = ways.get((metric, unit)) or self._way(metric, unit, member.axeos)
            found.append((way, metric, _WORDS.get(value, value)))
        sums: dict[str, float] = {}
        shared: list[tuple[str, _Family, str]] = []
        for way, metric, value in found:
            scaled = value if way.scale == 1 else repr(float(value) * way.scale)
            if way.family.shared:
                shared.append((metric, way.family, scaled))
            else:
                way.family.lines.append(labels + scaled)
            if way.known and prefix:
                own.append(
                    f"# HELP {prefix}{way.help}{prefix}{way.type}{prefix}{way.sample}{scaled}\n"
                )
            if way.summed:
                sums[metric] = float(value)
        if shared:
            self._add_shared(labels, shared)
        return sums

    def family(self, name: str, help: str, samples: Sequence[tuple[str, object]]) -> None:
        """A gauge of the bench's own: (labels, value); nothing where there is no sample."""
        if samples:
            family = _Family(Exposed(name, 1, "gauge", help), name)
            family.lines = [f"{labels or ' '}{value}" for labels, value in samples]
            self._families[name] = family

    def text(self) -> str:
        """All of it; labelled families first."""
        return "".join((*map(_written, self._families.values()), *self._own))

    def _way(self, metric: str, unit: str, axeos: bool) -> _Way:
        named = exposed(metric, _word(unit), axeos=axeos)
        family = self._family(f"testbench_{named.name}", named)
        keys = {key[0] for ways in self._ways for key, way in ways.items() if way.family is family}
        family.shared = family.shared or bool(keys - {metric})
        way = self._ways[axeos][metric, unit] = _Way(
            family,
            named.scale,
            metric in _SUMS,
            axeos and metric in UNITS,
            f"_{named.name} {named.help}\n# TYPE ",
            f"_{named.name} {named.type}\n",
            f"_{named.name} ",
        )
        return way

    def _family(self, name: str, named: Exposed) -> _Family:
        if name in RESERVED:
            name = name.replace("testbench_", "testbench_metric_", 1)
        found = self._families.get(name)
        if found is None:
            found = self._families[name] = _Family(named, name)
        return found

    def _add_shared(self, labels: str, shared: list[tuple[str, _Family, str]]) -> None:
        """Of one device's metrics that want the same name, the best known has it.

        The others get a mark made from their own names: no other name has two underscores.
        """
        taken: set[str] = set()
        for metric, family, value in sorted(shared, key=lambda one: (one[0] not in UNITS, one[0])):
            mine = family
            if family.name in taken:
                name = f"{family.name}__{crc32(metric.encode('utf-8', 'replace')):08x}"
                mine = self._family(name, family.exposed)
            taken.add(family.name)
            mine.lines.append(labels + value)


def _word(unit: str) -> str:
    """The unit as the snapshot has it, a JSON string: `"W"` → `W`."""
    return unit.strip().strip('"')


def _written(family: _Family) -> str:
    name, kind = family.name, family.exposed.type
    head = f"# HELP {name} {family.exposed.help}\n# TYPE {name} {kind}\n{name}"
    return head + f"\n{name}".join(family.lines) + "\n" if family.lines else ""


def pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`[name, value, name, value, …]` → pairs."""
    rest = iter(flat)
    return zip(rest, rest, strict=False)
