"""The conditions found in training data: labels, captions, and how both become numbers. Imports no torch."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from translate.conditions import BETWEEN, Conditions, DataNeeds, TextInput, canonical
from translate.datasets.pairs import Listing, Pair, Problem, views
from translate.datasets.preparation.vocabulary import learn_tokenizer
from translate.tables import closest

NAMED = 12  # labels listed one by one
SIDEWAYS = re.compile(r"\b(left|right)\b", re.IGNORECASE)
LABELS_COME = (
    "from the column `label` of metadata.csv or metadata.jsonl, from --label-columns of it, or from class folders, "
    "as in train/brick/1.png and train/wood/2.png"
)


class Pretrained(NamedTuple):
    """Tokenizer, limits and configuration of a pretrained text encoder."""

    tokenizer: str  # of the library `tokenizers`, as its JSON
    pad: int  # the number that fills up
    config: dict[str, Any]  # of the network
    vocabulary: int  # numbers that there are
    length: int  # most tokens that it reads

    def as_input(self, length: int) -> TextInput:
        """How words become numbers for it: up to `length` of them, or as many as it reads."""
        return TextInput(
            tokenizer=self.tokenizer,
            length=min(length, self.length),
            vocabulary=self.vocabulary,
            pad=self.pad,
            encoder=self.config,
        )


@dataclass(frozen=True)
class Labelled:
    """A listing whose pairs have the labels that the model needs, problems of the pairs left out, and notes."""

    listing: Listing
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def with_labels(listing: Listing, data_needs: DataNeeds, *, known: Collection[str] = ()) -> Labelled:
    """`listing` with a label on every pair: where no table gives any, the class folder that the pair lies in.

    Labels that differ in their Unicode form only are one, as are 1 and 1.0, in the form of `known` if it is there.

    A pair without one is a problem where the model is never trained without and a picture has one label.

    Raises:
        ValueError: the model needs labels or texts and there are none.
    """
    if data_needs.text and not any(pair.text for pair in listing.train):
        raise ValueError(
            "this model learns from captions, and no training picture has one: give them in the column `text` of "
            "metadata.csv or metadata.jsonl"
        )
    if not data_needs.label:
        return Labelled(listing)
    if not any(pair.label for pair in listing.every):
        train, val, test = (
            tuple(replace(pair, label=_class_folder(pair)) for pair in pairs)
            for pairs in (listing.train, listing.val, listing.test)
        )
        listing = replace(listing, train=train, val=val, test=test)
    forms = {canonical(label): label for label in known}
    present = {part for pair in listing.every for part in _split(pair.label, several=True)}
    spelled = {part: _in_form(part, forms, present) for part in present}
    train, val, test = (
        tuple(replace(pair, label=_relabelled(pair.label, spelled)) for pair in pairs)
        for pairs in (listing.train, listing.val, listing.test)
    )
    listing = replace(listing, train=train, val=val, test=test)
    if not any(pair.label for pair in listing.train):
        raise ValueError(f"this model learns from labels, and no training picture has one: they come {LABELS_COME}")
    if not data_needs.required or listing.several or _several(listing.train):
        return Labelled(listing)
    return _without(listing, {pair: "it has no label" for pair in listing.every if not pair.label})


def find_conditions(
    train: Sequence[Pair],
    data_needs: DataNeeds,
    *,
    pretrained: Pretrained | None = None,
    start: Conditions | None = None,
    several: bool = False,
) -> tuple[Conditions, tuple[str, ...]]:
    """The conditions of a model with these `data_needs`, from its training pairs, and notes.

    Labels are sorted. A label that holds commas is several, and then pictures may have any number of them. Words become
    numbers by a tokenizer that is learned from the captions of these pairs alone.

    Args:
        train: the training pairs, labelled by `with_labels`.
        pretrained: the text encoder that `data_needs` names.
        several: pictures may have any number of labels, even if none of these has two.
        start: the conditions of the model that training starts from, which are kept if they cover these pairs.

    Raises:
        ValueError: fewer than two labels, or the same label or caption everywhere.
    """
    notes: list[str] = []
    start = start and start.in_training
    labels: tuple[str, ...] = ()
    text = None
    several = data_needs.label and (several or _several(train))
    if data_needs.label:
        labels = _labels(train, several=several)
        covered = start is not None and set(labels) <= set(start.labels) and several <= start.several
        if start is not None and covered:
            labels, several = start.labels, start.several
        elif start is not None and start.labels:
            notes.append("the labels are not those of the model that training starts from, so that theirs is new")
    if data_needs.text:
        assert (data_needs.encoder is None) == (pretrained is None), "a pretrained encoder brings its tokenizer"
        earlier = start.text if start is not None else None
        length, config = (pretrained.length, pretrained.config) if pretrained else (data_needs.length, None)
        if earlier and (earlier.length, earlier.encoder) == (min(data_needs.length, length), config):
            text = earlier
        else:
            text = _text_input(train, data_needs, pretrained)
    needs = data_needs
    found = Conditions(labels=labels, several=several, text=text, z=needs.z, codes=needs.codes, required=needs.required)
    _require_difference(train, found)
    if data_needs.classified:
        found = found.model_copy(update={"labels": (), "classes": labels})
    return found, tuple(notes)


def known(listing: Listing, conditions: Conditions) -> Labelled:
    """`listing` without the pairs whose labels are none of the model's."""
    conditions = conditions.in_training
    if not conditions.labels:
        return Labelled(listing)
    unknown: dict[Pair, str] = {}
    for pair in listing.every:
        parts = conditions.split_label(pair.label)
        other = next((part for part in parts if part not in conditions.labels), None)
        if other is not None:
            near = closest(other, conditions.labels)
            unknown[pair] = f'no training picture has its label "{other}"{near}'
        elif len(parts) > 1 and not conditions.several:
            unknown[pair] = f'"{pair.label}" is several labels, and the model was trained on one a picture'
    return _without(listing, unknown)


def all_labels_trained(listing: Listing) -> Labelled:
    """`listing` with the held-out pairs back in training whose label would be on no training picture."""
    several = listing.several or _several(listing.every)
    trained = {part for pair in listing.train for part in _split(pair.label, several=several)}
    back = [pair for pair in listing.val if not trained.issuperset(_split(pair.label, several=several))]
    if not back:
        return Labelled(listing)
    val = tuple(pair for pair in listing.val if pair not in back)
    note = f"{len(back)} of the held-out went back to training, which has no other picture of their label"
    return Labelled(replace(listing, train=(*listing.train, *back), val=val), notes=(note,))


def remarks(listing: Listing, conditions: Conditions, *, flip: bool) -> list[str]:
    """Report lines on the labels and captions of the pairs in use."""
    lines: list[str] = []
    classified, conditions = bool(conditions.classes), conditions.in_training
    pairs = (*listing.train, *listing.val)
    if conditions.labels:
        counts = Counter(part for pair in listing.train for part in conditions.split_label(pair.label))
        each = [f"{label} {counts[label]}" for label in conditions.labels]
        more = f" and {len(each) - NAMED} more" if len(each) > NAMED else ""
        kind = "labels, any number of them a picture" if conditions.several else "labels"
        lines.append(f"{len(each)} {kind}, with so many training pictures each: {', '.join(each[:NAMED])}{more}")
        bare = sum(not pair.label for pair in pairs)
        if bare:
            then = "and are learned from without one" if classified else "and are translated without one"
            lines.append(f"{bare} of {len(pairs)} have no label, {then}")
    if conditions.text:
        lines.append(f"captions become up to {conditions.text.length} numbers of {conditions.text.vocabulary}")
        captions = {pair.text for pair in pairs if pair.text}
        long = {text for text in captions if conditions.too_long(text)}
        number = sum(pair.text in long for pair in pairs)
        if number:
            lines.append(
                f"{number} of {len(pairs)} captions are longer than that, and their end is not seen; such as: "
                f"{min(long)}"
            )
        bare = sum(not pair.text for pair in pairs)
        if bare:
            lines.append(f"{bare} of {len(pairs)} have no caption, or an empty one, and are translated without")
        sideways = sum(bool(SIDEWAYS.search(pair.text or "")) for pair in listing.train)
        if flip and sideways:
            lines.append(
                f"{sideways} of {len(listing.train)} training captions say left or right, and half of the pictures are "
                "mirrored: give --flip false"
            )
    return lines


def _in_form(part: str, forms: Mapping[str, str], present: Collection[str]) -> str:
    """One label as `forms` spells it, else in its composed form; `1.0` is `1` where that is `present`."""
    form = canonical(part)
    if form in forms:
        return forms[form]
    return form if form in present else unicodedata.normalize("NFC", part)


def _relabelled(label: str | None, spelled: Mapping[str, str]) -> str | None:
    """`label`, which may be several, with each part as it is `spelled`."""
    parts = _split(label, several=True)
    now = [spelled[part] for part in parts]
    return label if now == parts else BETWEEN.join(dict.fromkeys(now))


def _class_folder(pair: Pair) -> str | None:
    """The first folder of a pair below its split; None for a picture in no folder."""
    if pair.folder is not None:
        return pair.folder or None
    folders = PurePosixPath(pair.name).parts[:-1]
    return folders[0] if folders else None


def _split(label: str | None, *, several: bool) -> list[str]:
    parts = (label or "").split(BETWEEN) if several else [label or ""]
    return [part.strip() for part in parts if part.strip()]


def _several(pairs: Sequence[Pair]) -> bool:
    return any(BETWEEN in (pair.label or "") for pair in pairs)


def _labels(train: Sequence[Pair], *, several: bool) -> tuple[str, ...]:
    labels = sorted({part for pair in train for part in _split(pair.label, several=several)})
    if len(labels) < 2:
        found = f'all training pictures that have one are "{labels[0]}"' if labels else "there is none"
        raise ValueError(f"this model needs at least two labels to tell apart, and {found}: they come {LABELS_COME}")
    return tuple(labels)


def _text_input(train: Sequence[Pair], data_needs: DataNeeds, pretrained: Pretrained | None) -> TextInput:
    if pretrained is not None:
        return pretrained.as_input(data_needs.length)
    from translate.conditions import tokenizer

    learned = learn_tokenizer([pair.text for pair in train if pair.text], vocabulary=data_needs.vocabulary)
    return TextInput(tokenizer=learned, length=data_needs.length, vocabulary=tokenizer(learned).get_vocab_size(), pad=0)


def _require_difference(train: Sequence[Pair], conditions: Conditions) -> None:
    """Raises:
    ValueError: no pair has another label or text, so that nothing could be learned from them.
    """
    if conditions.labels and len({frozenset(conditions.split_label(p.label)) for p in train}) < 2:
        raise ValueError(f"all training pictures have the same labels, {train[0].label}: labels have to differ")
    if conditions.text:
        captions = {pair.text for pair in train if pair.text}
        if len({conditions.encode_text(text).tobytes() for text in captions}) < 2:
            raise ValueError(f'all training captions are the same to the model, "{min(captions)}": they have to differ')


def _without(listing: Listing, reasons: dict[Pair, str]) -> Labelled:
    """`listing` without these pairs, and a problem for each: by pair, since a file may be used by others, too."""
    train, val, test = (
        tuple(pair for pair in pairs if pair not in reasons) for pairs in (listing.train, listing.val, listing.test)
    )
    problems = tuple(Problem(_file(pair), reason) for pair, reason in reasons.items())
    return Labelled(replace(listing, train=train, val=val, test=test), problems)


def _file(pair: Pair) -> Path:
    return views(pair)[0].path
