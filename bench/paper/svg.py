"""Plots as SVG, without a library: grouped bars, and lines over a number of DAGs."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from .experiment import Case, Experiment

WIDTH, HEIGHT = 860, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 78, 64
# Distinct for people who don't see red and green apart (Okabe and Ito); zerrow's own is always the last.
COLOURS = ("#999999", "#e69f00", "#56b4e9", "#cc79a7")
OWN_COLOUR = "#009e73"
FONT = "font-family='Helvetica, Arial, sans-serif'"


def text(x: float, y: float, words: str, size: int = 12, anchor: str = "middle", colour: str = "#333") -> str:
    """One line of text."""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' fill='{colour}' {FONT}>"
        f"{escape(words)}</text>"
    )


def short(value: float) -> str:
    """A number with three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def steps(most: float) -> list[float]:
    """Four to eight round numbers from 0 to just above `most`."""
    raw = most / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    return [step * number for number in range(math.ceil(most / step) + 1)]


class Plot:
    """A frame with a title, a legend and a vertical axis from 0; what is in it is drawn by the functions below."""

    def __init__(self, title: str, unit: str, series: list[str], most: float) -> None:
        self.series = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(series)}
        self.series[series[-1]] = OWN_COLOUR
        ticks = steps(most * 1.06)
        self.most = ticks[-1]
        self.parts = [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>",
            f"<title>{escape(title)}</title><rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
            text(LEFT, 24, title, 16, "start", "#111"),
            text(LEFT - 58, TOP - 12, unit, 12, "start", "#555"),
        ]
        x = float(LEFT)
        for name, colour in self.series.items():
            self.parts.append(f"<rect x='{x:.1f}' y='38' width='12' height='12' fill='{colour}'/>")
            self.parts.append(text(x + 17, 48, name, 12, "start"))
            x += 34 + 6.6 * len(name)
        for tick in ticks:
            y = self.y(tick)
            self.parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>")
            self.parts.append(text(LEFT - 8, y + 4, short(tick), 11, "end", "#555"))

    def y(self, value: float) -> float:
        """Where a value is."""
        return HEIGHT - BOTTOM - value / self.most * (HEIGHT - TOP - BOTTOM)

    def finish(self, axis: str) -> str:
        """The whole document."""
        self.parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, axis, 12, "middle", "#555"))
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def bars(experiment: Experiment, title: str, situations: list[str]) -> str:
    """A group of bars per situation; each bar has its time, and how many times zerrow's it is."""
    cases = [case for case in experiment.cases if case.situation in situations]
    series = list(dict.fromkeys(case.system for case in cases))
    most = max((taken for case in cases if case.ms for taken in case.rounds_ms), default=1)
    divisor, unit = (1000, "seconds") if most > 2000 else (1, "milliseconds")
    plot = Plot(title, f"{unit} (median; less is better)", series, most / divisor)
    group = (WIDTH - LEFT - RIGHT) / len(situations)
    for number, situation in enumerate(situations):
        here = {case.system: case for case in cases if case.situation == situation}
        own = here[series[-1]].ms if series[-1] in here else None
        width = min(90.0, group * 0.82 / len(here))
        middle = LEFT + group * (number + 0.5)
        for place, (system, case) in enumerate(here.items()):
            x = middle + (place - len(here) / 2) * width
            plot.parts += bar(plot, x, width, case, plot.series[system], divisor, own)
        plot.parts.append(text(middle, HEIGHT - BOTTOM + 20, situation))
    return plot.finish(experiment.axis)


def bar(plot: Plot, x: float, width: float, case: Case, colour: str, divisor: int, own: float | None) -> list[str]:
    """One bar with its labels and the span of its rounds."""
    middle = x + width / 2
    if case.ms is None:
        return [text(middle, plot.y(0) - 6, "failed", 12, "middle", "#b00")]
    y = plot.y(case.ms / divisor)
    height = plot.y(0) - y
    ends = [plot.y(end / divisor) for end in (min(case.rounds_ms), max(case.rounds_ms))]
    parts = [
        f"<rect x='{x + 2:.1f}' y='{y:.1f}' width='{width - 4:.1f}' height='{height:.1f}' fill='{colour}'/>",
        f"<line x1='{middle:.1f}' x2='{middle:.1f}' y1='{ends[0]:.1f}' y2='{ends[1]:.1f}' stroke='#333'/>",
    ]
    top = min(y, *ends)
    ratio = f"{case.ms / own:.1f}x" if own and case.ms != own else ""
    parts.append(text(middle, top - 5, short(case.ms / divisor), 11))
    if ratio:
        parts.append(text(middle, top - 18, ratio, 12, "middle", "#111"))
    return parts


def lines(experiment: Experiment, title: str, situations: list[str]) -> str:
    """Throughput over the number of DAGs, a line per system; each point has its value, and zerrow's own how many times
    that is the throughput of what the experiment compares it with.
    """
    cases = [case for case in experiment.cases if case.situation in situations]
    series = list(dict.fromkeys(case.system for case in cases))
    rates = [per_minute(experiment, case) for case in cases if case.ms]
    plot = Plot(title, "DAGs per minute (median; more is better)", series, max(rates, default=1))
    place = x_of(len(situations))
    for system, colour in plot.series.items():
        points = [
            (place(situations.index(case.situation)), per_minute(experiment, case))
            for case in cases
            if case.system == system and case.ms
        ]
        path = " ".join(f"{x:.1f},{plot.y(rate):.1f}" for x, rate in points)
        plot.parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2.5'/>")
        for x, rate in points:
            plot.parts.append(f"<circle cx='{x:.1f}' cy='{plot.y(rate):.1f}' r='4' fill='{colour}'/>")
    for number, situation in enumerate(situations):
        here = [case for case in cases if case.situation == situation and case.ms]
        plot.parts += point_labels(plot, experiment, here, place(number))
    for number, situation in enumerate(situations):
        plot.parts.append(text(place(number), HEIGHT - BOTTOM + 20, situation))
    return plot.finish(experiment.axis)


def point_labels(plot: Plot, experiment: Experiment, cases: list[Case], x: float) -> list[str]:
    """The values of the points above each other, in their lines' colours, moved apart where they are close."""
    parts: list[str] = []
    free = 0.0
    for case in sorted(cases, key=lambda case: -per_minute(experiment, case)):
        rate = per_minute(experiment, case)
        y = max(plot.y(rate) - 9, free)
        label = short(rate) + ratio_label(experiment, case)
        # Beside the point, where above it belongs to another one's label.
        is_moved = y > plot.y(rate) - 9
        parts.append(
            text(x + 10 if is_moved else x, y, label, 11, "start" if is_moved else "middle", plot.series[case.system])
        )
        free = y + 13
    return parts


def ratio_label(experiment: Experiment, case: Case) -> str:
    """For zerrow's own points: how many times faster than the baseline of the experiment's first ratio."""
    ratio = experiment.ratios[0]
    base = experiment.case(case.situation, ratio.baseline).ms
    return f" ({base / case.ms:.1f}x)" if case.system == ratio.zerrow and base and case.ms else ""


def per_minute(experiment: Experiment, case: Case) -> float:
    """DAGs per minute of a case."""
    return experiment.dags[case.situation] * 60_000 / (case.ms or math.inf)


def x_of(count: int) -> Callable[[int], float]:
    """Places for so many points, spread over the plot."""
    width = WIDTH - LEFT - RIGHT
    return lambda number: LEFT + width * (number + 0.5) / count
