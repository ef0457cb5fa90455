"""How long batches took and how large they were, by device, as Prometheus names."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW = 256  # batches that the median is of


@dataclass
class Measures:
    """Of one kind of work. Counters since the start; medians of the last batches."""

    name: str
    requests: int = 0
    _of: dict[str, _Device] = field(default_factory=dict)

    def note(self, device: str, items: int, seconds: float) -> None:
        """One batch has run."""
        self._of.setdefault(device, _Device()).note(items, seconds)

    def shown(self) -> dict[str, float]:
        found: dict[str, float] = {f"{self.name}_requests_total": float(self.requests)}
        for device, one in self._of.items():
            label = f'{{device="{device}"}}'
            found[f"{self.name}_batches_total{label}"] = float(one.batches)
            found[f"{self.name}_items_total{label}"] = float(one.items)
            found[f"{self.name}_seconds_total{label}"] = round(one.seconds, 6)
            found[f"{self.name}_batch_ms{label}"] = round(one.median_ms(), 3)
            found[f"{self.name}_batch_items{label}"] = one.median_items()
        return found


@dataclass
class _Device:
    batches: int = 0
    items: int = 0
    seconds: float = 0.0
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def note(self, items: int, seconds: float) -> None:
        self.batches, self.items, self.seconds = self.batches + 1, self.items + items, self.seconds + seconds
        self.recent.append((seconds, items))

    def median_ms(self) -> float:
        return sorted(s for s, _ in self.recent)[len(self.recent) // 2] * 1000

    def median_items(self) -> float:
        return float(sorted(n for _, n in self.recent)[len(self.recent) // 2])
