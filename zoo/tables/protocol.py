"""Which figures are comparable, and which of them is best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.tables.columns import COLUMNS, MEASURED, NOTHING, Row, shown

ACCURACY = ("data", "protocol", "queries", "gallery")
LATENCY = ("device", "architecture", "cores", "unit", "power_mode", "threads", "batch", "throughput_batch", "timer")


@dataclass(frozen=True)
class Group:
    """Rows of one measurement protocol.

    Rows of a table are equal in two things:

    - for accuracy (mAP in float and on the device, R1): the data set by its fingerprint, the protocol in words (camera
      rule, re-ranking), and the numbers of queries that count and of gallery images. A row without accuracy, measured
      without the data set, fits any of them. Device, runtime and batch size do not matter: embeddings are equal up to
      rounding, and the column shows that rounding.
    - for times and energy (p50, p90, p99, images/s, mJ/image): the machine by name, architecture and usable cores, the
      processor (CPU or GPU), power mode, threads, batch sizes, and what the timer includes. Target, runtime and its
      version may differ, since they are what one compares. Energy also needs the same meter; if the rows of a table
      have several, none is best.

    Parameters, MACs and megabytes always compare. The ratio is to the dense network of the same release, runtime and
    run, not to other rows of the table, so it is shown and never ranked.
    """

    rows: list[Row]

    @property
    def protocol(self) -> dict[str, Any]:
        """Fields that are equal in all rows that have them."""
        return {key: self.first[key] for key in (*ACCURACY, *LATENCY)}

    @property
    def first(self) -> Row:
        """The first row that has the complete protocol, if any."""
        return next((row for row in self.rows if row["protocol"]), self.rows[0])

    @property
    def where(self) -> str:
        """The device and its settings, in words."""
        p = self.protocol
        mode = f", power mode {p['power_mode']}" if p["power_mode"] else ""
        return (
            f"{p['device']} ({p['architecture']}, {_counted(p['cores'], 'core')}), {p['unit']}, "
            f"{_counted(p['threads'], 'thread')}{mode}"
        )

    @property
    def how(self) -> str:
        """What was measured, in words."""
        p = self.protocol
        timed = f"p50, p90 and p99 at batch {p['batch']}, images/s at batch {p['throughput_batch']}, {p['timer']}"
        if p["protocol"] is None:
            return f"{timed}; accuracy not measured"
        data = _said(self.first, "data")
        return f"{timed}; data {data}, {p['queries']} queries, {p['gallery']} gallery images, {p['protocol']}"

    @property
    def notes(self) -> list[str]:
        """Notes on single rows, one per line."""
        runs = len({row["run"] for row in self.rows})
        doubts: dict[str, list[Row]] = {}
        for row in self.rows:
            if row["doubt"] and not row["void"]:
                doubts.setdefault(row["doubt"], []).append(row)
        meters = sorted({row["meter"] for row in self.rows if row["meter"]})
        void: dict[str, list[Row]] = {}
        for row in self.rows:
            void.setdefault(row["void"], []).append(row)
        lines = [f"void, throttled by {why}: {self._names(rows)}" for why, rows in void.items() if why]
        lines += [f"unsteady, times not compared ({why}): {self._names(rows)}" for why, rows in doubts.items()]
        foreign = [row for row in self.rows if row["foreign"]]
        blind = [row for row in self.rows if self.first["protocol"] and not row["protocol"]]
        sent: dict[str, list[Row]] = {}
        for row in self.rows:
            if row["standing"]:
                repeated = "repeated here" if row["standing"] == "repeated" else "not repeated, never best"
                sent.setdefault(f"reported by {row['reported_by']}, {repeated}", []).append(row)
        lines += [f"{words}: {self._names(rows)}" for words, rows in sent.items()]
        if foreign:
            models = ", ".join(dict.fromkeys(row["model"] for row in foreign))
            lines.append(f"not trained by zoo: {'all' if len(foreign) == len(self.rows) else models}")
        lines += [f"only times measured, no accuracy: {self._names(blind)}"] * bool(blind)
        lines += [f"mJ/image by {'; not comparable with '.join(meters)}"] * bool(meters)
        lines += [f"{runs} runs: only figures of one run were timed in turn"] * (runs > 1)
        absent = [COLUMNS[key].heading for key in self._absent]
        return lines + [f"no figures: {', '.join(absent)}"] * bool(absent)

    def _names(self, rows: Sequence[Row]) -> str:
        if len(rows) == len(self.rows):
            return "all"
        models = len({row["model"] for row in self.rows}) > 1
        return ", ".join(f"{row['model']} " * models + name_of(row) for row in rows)

    @property
    def _absent(self) -> list[str]:
        return [
            key
            for key, column in MEASURED.items()
            if column.optional and all(shown(row, key) == NOTHING for row in self.rows)
        ]

    @property
    def columns(self) -> list[str]:
        """Columns in which some row has a figure."""
        absent = self._absent
        return [key for key in MEASURED if key not in absent]

    @property
    def best(self) -> dict[str, list[int]]:
        """Indices of the best rows that ship, by column. Figures that print the same are equally good.

        A column has no best if fewer than two rows that ship have a figure; a column of times has none if one of these
        rows is in doubt. Rows that somebody else reported take part once the publisher has repeated them.
        """
        found = {}
        for key, column in MEASURED.items():
            own = [i for i, row in enumerate(self.rows) if row["ships"] and row["standing"] != "reported"]
            rivals = [i for i in own if self.rows[i][key] is not None]
            shared = {self.rows[i][column.within] for i in rivals} if column.within else set()
            doubtful = column.timed and any(self.rows[i]["doubt"] for i in rivals)
            if column.better is None or len(rivals) < 2 or len(shared) > 1 or doubtful:
                continue
            choose = max if column.better == "high" else min
            best = choose(rivals, key=lambda i: self.rows[i][key])
            found[key] = [i for i in rivals if shown(self.rows[i], key) == shown(self.rows[best], key)]
        return found


def grouped(rows: Iterable[Row]) -> list[Group]:
    """Rows by protocol, in order of appearance; a row without accuracy joins the first group of its timing."""
    listed = list(rows)
    homes: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in listed:
        if row["protocol"]:
            homes.setdefault(_key(row, LATENCY), _key(row, ACCURACY))
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in listed:
        times = _key(row, LATENCY)
        accuracy = _key(row, ACCURACY) if row["protocol"] else homes.get(times)
        groups.setdefault((accuracy, times), []).append(row)
    return [Group(rows) for rows in groups.values()]


def _key(row: Row, names: Iterable[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def differing(first: Row, second: Row, keys: Iterable[str] = (*ACCURACY, *LATENCY)) -> list[str]:
    """Fields in which two rows are not comparable, such as `threads: 2, 4`."""
    return [
        f"{COLUMNS[key].heading}: {_said(first, key)}, {_said(second, key)}"
        for key in keys
        if first[key] != second[key]
    ]


def apart(groups: Sequence[Group]) -> str | None:
    """One line that says why there are several tables: the fields that differ, with their values."""
    if len(groups) < 2:
        return None
    firsts = [group.protocol | {"dataset": group.first["dataset"]} for group in groups]
    fields = [
        f"{COLUMNS[key].heading} ({' / '.join(values)})"
        for key in (*ACCURACY, *LATENCY)
        if len(values := dict.fromkeys(_said(row, key) for row in firsts)) > 1
    ]
    return f"{len(groups)} tables, since figures compare within one protocol only; they differ in {'; '.join(fields)}"


def _said(row: Row, key: str) -> str:
    if key == "data" and row["data"]:
        return " ".join(filter(None, (row["dataset"], row["data"][:12])))
    return NOTHING if row[key] is None else str(row[key])


def name_of(row: Row) -> str:
    """The name of a row within its release."""
    return f"{shown(row, 'network')} {row['precision']} on {row['target']}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def names_of(rows: Sequence[Row]) -> Iterator[str]:
    """Devices with the targets that were measured on them, one phrase each."""
    devices: dict[str, dict[str, None]] = {}
    for row in rows:
        devices.setdefault(row["device"], {})[row["target"]] = None
    for device, targets in devices.items():
        yield f"{device} ({', '.join(targets)})"
