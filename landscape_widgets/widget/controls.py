"""What is sampled and how it is laid out: offered in the browser, changed there or from Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from landscape_widgets import reducers, samplers
from landscape_widgets.controls import Control, Refused, Typed, fields, retyped
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import Cancelled
from landscape_widgets.reducers.base import Reducer
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.widget.preparation import Preparation
from landscape_widgets.widget.worker import Worker

SPACES = ("weights", "outputs")
COMPONENTS = (2, 3)
STANDARDISE = Control(
    "standardise", "standardise", "measure each parameter in its own standard deviation", "flag"
)


class ControlledWidget(anywidget.AnyWidget):
    """The part of the widget that knows what to sample and how to lay it out.

    A change is checked before anything is touched, and then does no more than it has to: a sampler
    samples anew, everything else makes only the map anew, and while samples are still on their
    way, even that is left to the work that is running.
    """

    _choices: Any = traitlets.Dict().tag(sync=True)
    _chosen: Any = traitlets.Dict().tag(sync=True)
    _settings: Any = traitlets.Dict().tag(sync=True)

    _lock: threading.RLock
    _worker: Worker
    _preparation: Preparation | None = None

    def _begin_controls(
        self,
        landscape: Landscape | None,
        sampler: Any,
        reducer: Any,
        space: str | None,
        n_components: int,
    ) -> None:
        """Take over what is chosen at first; without a landscape, its data are still read.

        Raises
        ------
        ValueError, TypeError
            For what cannot work, before any work starts.
        """
        self._landscape: Landscape | None = landscape
        if landscape is not None:
            self._preparation = None
        self._sampler = samplers.resolve(sampler)
        self._reducer = reducers.resolve(reducer)
        self._reducer_chosen = reducer is not None  # else it hangs on what is sampled
        self._space = space
        self._standardise = False
        self._n_components = _checked_components(n_components)
        # What the samples and the map that are there were made with.
        there = landscape is not None and landscape.cloud is not None
        self._drawn_by = self._sampler if there else None
        self._mapped_by = self._map_settings if there else None
        self._laid_out = True  # or the layout of the map was stopped, and is to be made anew
        self._sampling = False  # the map's settings are read when that is done
        self._replaced = False  # the running work ends because other work takes its place
        if landscape is None:
            _check_space(space)
        else:
            if landscape.cloud is None:
                self._check_sampler(self._sampler)
            self._check_map(space)
        # What was set before is there again when a sampler or reducer is chosen again.
        self._used_samplers = {_key(self._sampler): self._sampler}
        self._used_reducers = {_key(self._reducer): self._reducer}

    @property
    def landscape(self) -> Landscape:
        """The headless `Landscape` behind the widget; waits while its data are read."""
        preparation = self._preparation
        if self._landscape is not None:
            return self._landscape
        if preparation is None:
            raise RuntimeError("This widget is closed. Make a new one.")
        try:
            return preparation.result()
        except Cancelled:
            raise RuntimeError(
                "The work was stopped while the data were read. Start it, and they are read on."
            ) from None

    @property
    def _is_prepared(self) -> bool:
        """Whether the data have been read, so that the landscape is there."""
        return self._landscape is not None

    # From Python

    @property
    def sampler(self) -> Sampler:
        """What is sampled; set a sampler or its name, and samples are drawn anew."""
        return self._sampler

    @sampler.setter
    def sampler(self, value: Any) -> None:
        sampler = samplers.resolve(value)
        if sampler == self._sampler:
            return
        self._check_sampler(sampler)
        with self._lock:
            if type(sampler) is not type(self._sampler):
                self._space = None
            self._sampler = self._used_samplers[_key(sampler)] = sampler
            if self._worker.busy or self.landscape.cloud is not None:
                self._replaced = self._worker.busy
                self._sampling = True
                self._worker.submit(self._run, instead=True)
        self._publish_choices()

    @property
    def reducer(self) -> Reducer:
        """How samples are laid out; set a reducer or its name, and the map is made anew."""
        return self._reducer

    @reducer.setter
    def reducer(self, value: Any) -> None:
        self._set_map(reducers.resolve(value), self._space, self._standardise)

    @property
    def space(self) -> str:
        """What distances mean, "weights" or "outputs"; set it, and the map is made anew."""
        cloud = self.landscape.cloud if self._is_prepared else None
        return self._space or (self._sampler.space if cloud is None else cloud.space)

    @space.setter
    def space(self, value: str | None) -> None:
        self._set_map(self._reducer, value, self._standardise)

    @property
    def standardise(self) -> bool:
        """Whether each parameter (or output) is measured in its own standard deviation.

        Set it, and the map is made anew.
        """
        return self._standardise

    @standardise.setter
    def standardise(self, value: bool) -> None:
        STANDARDISE.check(type(self).__name__, value)
        self._set_map(self._reducer, self._space, value)

    @property
    def n_components(self) -> int:
        """Dimensions of the map, 2 or 3; set it, and the map is made anew."""
        return self._n_components

    @n_components.setter
    def n_components(self, value: int) -> None:
        value = _checked_components(value)
        self._set_map(self._reducer, self._space, self._standardise, value)

    @property
    def _unfinished(self) -> bool:
        """Whether there is more to do for what is chosen."""
        if not self._is_prepared:
            return True
        drawn = self._drawn_by is self._sampler and bool(self.landscape.evaluated.all())
        return not drawn or self._mapped_by != self._map_settings or not self._laid_out

    @property
    def _map_settings(self) -> tuple[Reducer, str | None, bool, int]:
        return self._reducer, self._space, self._standardise, self._n_components

    def _set_map(
        self,
        reducer: Reducer,
        space: str | None,
        standardise: bool,
        n_components: int | None = None,
    ) -> None:
        if n_components is None:
            n_components = self._n_components
        if (reducer, space, standardise, n_components) == self._map_settings:
            return
        self._check_map(space)
        with self._lock:
            self._reducer_chosen = self._reducer_chosen or reducer is not self._reducer
            self._reducer = self._used_reducers[_key(reducer)] = reducer
            self._space, self._standardise = space, standardise
            self._n_components = n_components
            underway = self._sampling and self._worker.busy
            if not underway and self._can_map():
                self._replaced = self._worker.busy
                self._worker.submit(self._remap, instead=True)
        self._publish_choices()

    def _run(self, cancelled: Callable[[], bool]) -> None:
        """Do what is not done yet, from the sampling on."""
        raise NotImplementedError

    def _remap(self, cancelled: Callable[[], bool]) -> None:
        """Make the map anew."""
        raise NotImplementedError

    # What cannot work is refused before any work starts

    def _check_sampler(self, sampler: Sampler) -> None:
        sampler.check(self.landscape.objective)

    def _check_map(self, space: str | None) -> None:
        _check_space(space)
        land = self.landscape
        drawn = land.cloud is not None and self._drawn_by is self._sampler
        if drawn and space == "outputs" and land.outputs is None:
            land.points("outputs")  # says why there are none

    def _can_map(self) -> bool:
        """Whether there are samples for a map; after an early stop there may be none."""
        return bool(self.landscape.evaluated.any())

    def _settle_reducer(self) -> None:
        """Take the reducer for what was sampled, where none was chosen."""
        if self._reducer_chosen:
            return
        points = self.landscape.points(self._space)  # type: ignore[arg-type]
        made = reducers.default(points.shape[1])
        with self._lock:
            if _key(made) != _key(self._reducer):
                self._reducer = self._used_reducers.setdefault(_key(made), made)
        self._publish_choices()

    # From the browser

    def _choose(self, what: str, key: str) -> None:
        """Take what was chosen on the bar."""
        try:
            if what == "sampler":
                self.sampler = self._used_samplers.get(key, key)
            elif what == "reducer":
                self.reducer = self._used_reducers.get(key, key)
            elif what == "dimensions":
                self.n_components = int(key)
            else:
                self.space = key
        except ValueError as error:
            self._answer(what, {"": str(error)})
        else:
            self._answer(what, {})
        self._publish_choices()

    def _set(self, what: str, typed: Mapping[str, Typed]) -> None:
        """Take what was typed into the fields of a sampler or reducer, all of it or nothing."""
        typed = dict(typed)
        try:
            if what == "sampler":
                self.sampler = retyped(self._sampler, typed, self._check_sampler)
            else:
                standardise = bool(typed.pop(STANDARDISE.name))
                reducer = retyped(self._reducer, typed, lambda made: None)
                self._set_map(reducer, self._space, standardise)
        except Refused as refused:
            self._answer(what, refused.errors)
        except ValueError as error:
            self._answer(what, {"": str(error)})
        else:
            self._answer(what, {})
        self._publish_choices()

    def _answer(self, what: str, errors: dict[str, str]) -> None:
        """Tell the browser what became of a change: errors by field, none where it was taken."""
        with self._lock:
            self.send({"type": "answer", "what": what, "errors": errors})

    # To the browser

    def _publish_choices(self) -> None:
        """What the bar offers, what is chosen, and the fields for it."""
        outputs = not self._is_prepared or self.landscape.objective.outputs_shape is not None
        known_samplers = {name: kind.__name__ for name, kind in samplers.BY_NAME.items()}
        known_reducers = {name: kind().name for name, kind in reducers.BY_NAME.items()}
        spaces = SPACES if outputs else SPACES[:1]
        with self._lock, self.hold_sync():
            self._choices = {
                "sampler": _offered(known_samplers, self._used_samplers),
                "reducer": _offered(known_reducers, self._used_reducers),
                "space": [{"key": name, "label": name} for name in spaces],
                "dimensions": [{"key": str(n), "label": f"{n}-D"} for n in COMPONENTS],
            }
            self._chosen = {
                "sampler": _key(self._sampler),
                "reducer": _key(self._reducer),
                "space": self.space,
                "dimensions": str(self._n_components),
            }
            self._settings = {
                "sampler": fields(self._sampler),
                "reducer": [
                    *fields(self._reducer),
                    STANDARDISE.field(self._standardise, False),
                ],
            }


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
