"""What is sampled and how it is laid out: offered in the browser, changed there or from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from landscape_widgets import reducers, samplers
from landscape_widgets.controls import Control, Refused, Typed, fields, retyped
from landscape_widgets.reducers.base import Reducer
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.widget import purposes
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.preparation import Preparation

SPACES = ("weights", "outputs")
COMPONENTS = (2, 3)
STANDARDISE = Control(
    "standardise", "standardise", "measure each parameter in its own standard deviation", "flag"
)


class MapSettings(NamedTuple):
    """How samples are laid out; `space` is None for the sampler's own."""

    reducer: Reducer
    space: str | None
    standardise: bool
    n_components: int


class Controls:
    """Knows what to sample and how to lay it out, and what is there was made with.

    A change is checked before anything is touched.

    Parameters
    ----------
    preparation : Preparation
        The landscape that this is for.
    channel : Channel
        To the browser.
    changed : callable
        Told what has to be done anew, "samples" or "map"; the channel's lock is held.
    sampler, reducer, space, n_components
        What is chosen at first.

    Attributes
    ----------
    drawn_by : Sampler or None
        What the samples that are there were drawn by.
    mapped_by : MapSettings or None
        What the map that is there was made with.

    Raises
    ------
    ValueError, TypeError
        For what is never right; `check` says what does not fit the landscape.
    """

    def __init__(
        self,
        preparation: Preparation,
        channel: Channel,
        changed: Callable[[Literal["samples", "map"]], None],
        *,
        sampler: Any = None,
        reducer: Any = None,
        space: str | None = None,
        n_components: int = 2,
    ) -> None:
        self._preparation, self._channel, self._changed = preparation, channel, changed
        _check_space(space)
        self._sampler = samplers.resolve(sampler)
        self._map = MapSettings(
            reducers.resolve(reducer), space, False, _checked_components(n_components)
        )
        self._reducer_chosen = reducer is not None  # else it hangs on what is sampled
        there = preparation.is_ready and preparation.landscape.cloud is not None
        self.drawn_by = self._sampler if there else None
        self.mapped_by = self._map if there else None
        # What was set before is there again when a sampler or reducer is chosen again.
        self._used_samplers = {_key(self._sampler): self._sampler}
        self._used_reducers = {_key(self._map.reducer): self._map.reducer}

    @property
    def sampler(self) -> Sampler:
        """What is sampled."""
        return self._sampler

    @property
    def map(self) -> MapSettings:
        """How samples are laid out."""
        return self._map

    @property
    def space(self) -> str:
        """What distances mean, "weights" or "outputs"."""
        ready = self._preparation.is_ready
        cloud = self._preparation.landscape.cloud if ready else None
        return self._map.space or (self._sampler.space if cloud is None else cloud.space)

    @property
    def is_drawn(self) -> bool:
        """Whether the samples that are there are those that are chosen."""
        return self.drawn_by is self._sampler

    @property
    def is_mapped(self) -> bool:
        """Whether the map that is there was made with what is chosen."""
        return self.mapped_by == self._map

    def set(self, name: str, value: Any) -> None:
        """Choose a sampler, or another of the map's settings."""
        if name == "sampler":
            self.set_sampler(value)
        else:
            self.set_map(**{name: value})

    def get(self, name: str) -> Any:
        """What is chosen by this name."""
        return getattr(self if name in ("sampler", "space") else self._map, name)

    def set_sampler(self, value: Any) -> None:
        """Choose a sampler, or one by its name."""
        sampler = samplers.resolve(value)
        if sampler == self._sampler:
            return
        sampler.check(self._preparation.landscape.objective)
        with self._channel.lock:
            if type(sampler) is not type(self._sampler):
                self._map = self._map._replace(space=None)
            self._sampler = self._used_samplers[_key(sampler)] = sampler
            self._changed("samples")
        self.publish()

    def ask(self, purpose: purposes.Purpose) -> None:
        """Choose the sampler, space and map that fit a question."""
        sampler = purposes.sampler_for(purpose, self._used_samplers)
        sampler.check(self._preparation.landscape.objective)
        reducer = reducers.resolve(self._used_reducers.get(purpose.reducer, purpose.reducer))
        with self._channel.lock:
            self._used_reducers[_key(reducer)] = reducer
            self._map = self._map._replace(reducer=reducer, space=purpose.space)
            # Where t-SNE fits, it hangs on the samples whether there is anything to unfold.
            self._reducer_chosen = purpose.reducer != "tsne"
            self._sampler = self._used_samplers[_key(sampler)] = sampler
            self._changed("map" if self.is_drawn else "samples")
        self.publish()

    def set_map(self, **changes: Any) -> None:
        """Change some of the map's settings, named as in `MapSettings`."""
        if "reducer" in changes:
            changes["reducer"] = reducers.resolve(changes["reducer"])
        if "n_components" in changes:
            changes["n_components"] = _checked_components(changes["n_components"])
        if "standardise" in changes:
            STANDARDISE.check("LandscapeWidget", changes["standardise"], False)
        new = self._map._replace(**changes)
        if new == self._map:
            return
        self._check_map(new.space)
        with self._channel.lock:
            self._reducer_chosen = self._reducer_chosen or new.reducer is not self._map.reducer
            self._used_reducers[_key(new.reducer)] = new.reducer
            self._map = self._map._replace(**changes)
            self._changed("map")
        self.publish()

    def settle_reducer(self) -> None:
        """Take the reducer for what was sampled, where none was chosen."""
        if self._reducer_chosen:
            return
        points = self._preparation.landscape.points(self._map.space)  # type: ignore[arg-type]
        made = reducers.default(points.shape[1])
        with self._channel.lock:
            if _key(made) != _key(self._map.reducer):
                made = self._used_reducers.setdefault(_key(made), made)
                self._map = self._map._replace(reducer=made)
        self.publish()

    # What cannot work is refused before any work starts

    def check(self) -> None:
        """Raise where what is chosen does not fit the landscape.

        Raises
        ------
        ValueError, TypeError
        """
        if not self.is_drawn:
            self._sampler.check(self._preparation.landscape.objective)
        self._check_map(self._map.space)

    def _check_map(self, space: str | None) -> None:
        _check_space(space)
        land = self._preparation.landscape
        if land.cloud is not None and self.is_drawn and space == "outputs" and land.outputs is None:
            land.points("outputs")  # says why there are none

    # From the browser

    def choose(self, what: str, key: str) -> None:
        """Take what was chosen on the bar."""
        try:
            if what == "question":
                self.ask(purposes.by_key(key))
            elif what == "sampler":
                self.set_sampler(self._used_samplers.get(key, key))
            elif what == "reducer":
                self.set_map(reducer=self._used_reducers.get(key, key))
            elif what == "dimensions":
                self.set_map(n_components=int(key))
            else:
                self.set_map(space=key)
        except ValueError as error:
            self._channel.answer(what, {"": str(error)})
        else:
            self._channel.answer(what, {})
        self.publish()

    def retype(self, what: str, typed: Mapping[str, Typed]) -> None:
        """Take what was typed into the fields of a sampler or reducer, all of it or nothing."""
        typed = dict(typed)
        try:
            if what == "sampler":
                objective = self._preparation.landscape.objective
                self.set_sampler(retyped(self._sampler, typed, lambda made: made.check(objective)))
            else:
                standardise = bool(typed.pop(STANDARDISE.name))
                reducer = retyped(self._map.reducer, typed, lambda made: None)
                self.set_map(reducer=reducer, standardise=standardise)
        except Refused as refused:
            self._channel.answer(what, refused.errors)
        except ValueError as error:
            self._channel.answer(what, {"": str(error)})
        else:
            self._channel.answer(what, {})
        self.publish()

    def refuse(self, what: str, why: str) -> None:
        """Take nothing of what was chosen or typed."""
        self._channel.answer(what, {"": why})
        self.publish()

    # To the browser

    def publish(self) -> None:
        """What the bar offers, what is chosen, and the fields for it."""
        prepared = self._preparation
        outputs = not prepared.is_ready or prepared.landscape.objective.outputs_shape is not None
        known_samplers = {name: kind.__name__ for name, kind in samplers.BY_NAME.items()}
        known_reducers = {name: kind().name for name, kind in reducers.BY_NAME.items()}
        spaces = SPACES if outputs else SPACES[:1]
        asked = purposes.of(self._sampler)
        with self._channel.lock:
            self._channel.choices(
                {
                    "question": [{"key": p.key, "label": p.label} for p in purposes.PURPOSES],
                    "sampler": _offered(known_samplers, self._used_samplers),
                    "reducer": _offered(known_reducers, self._used_reducers),
                    "space": [{"key": name, "label": name} for name in spaces],
                    "dimensions": [{"key": str(n), "label": f"{n}-D"} for n in COMPONENTS],
                },
                {
                    "question": "" if asked is None else asked.key,
                    "shows": self._sampler.shows,
                    "hides": self._sampler.hides,
                    "sampler": _key(self._sampler),
                    "reducer": _key(self._map.reducer),
                    "space": self.space,
                    "dimensions": str(self._map.n_components),
                },
                {
                    "sampler": fields(self._sampler),
                    "reducer": [
                        *fields(self._map.reducer),
                        STANDARDISE.field(self._map.standardise, False),
                    ],
                },
            )


def setting(name: str, doc: str) -> Any:
    """An attribute of a widget that is one of its session's controls."""

    def get(widget: Any) -> Any:
        return widget.session.controls.get(name)

    def put(widget: Any, value: Any) -> None:
        widget.session.controls.set(name, value)

    return property(get, put, doc=doc)


def _check_space(space: Any) -> None:
    """Raise a ValueError unless distances may mean that."""
    if space not in (None, *SPACES):
        raise ValueError(f"space={space!r}; expected is 'weights' or 'outputs'.")


def _checked_components(value: Any) -> int:
    """Raise a ValueError unless a map may have so many dimensions."""
    if value not in COMPONENTS or isinstance(value, bool):
        raise ValueError(f"n_components={value!r}; 2 or 3 is expected.")
    return int(value)


def _key(thing: Sampler | Reducer) -> str:
    return type(thing).__name__.lower()


def _offered(known: dict[str, str], used: Mapping[str, Any]) -> list[dict[str, str]]:
    """Those that need no arguments, and those that were given with theirs."""
    labels = {**{key: thing.name for key, thing in used.items()}, **known}
    order = [*known, *(key for key in used if key not in known)]
    return [{"key": key, "label": labels[key]} for key in order]
