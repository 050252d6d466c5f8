"""Find the pictures of a set, read each once, decide what they are, divide them, report. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from translate.conditions import Conditions, DataNeeds
from translate.datasets.derive import amount_for, derived_spec
from translate.datasets.files import listing_once, tree
from translate.datasets.layouts import choose, layouts_of
from translate.datasets.layouts.found import Found
from translate.datasets.packed import packed
from translate.datasets.pairs import ROLES, Pair, Problem, Role, has_side, of_side
from translate.datasets.preparation import conditions as found_conditions
from translate.datasets.preparation import divide, report
from translate.datasets.preparation.conditions import Pretrained
from translate.datasets.preparation.fingerprint import PRINT, fingerprinted
from translate.datasets.preparation.ignored import ignored, read_otherwise
from translate.datasets.preparation.index import index_folder
from translate.datasets.preparation.roles import OF_A_SIDE, source_side, target_side
from translate.datasets.preparation.scan import NotDecodedError, scan
from translate.datasets.preparation.specs import decide
from translate.datasets.preparation.usable import matching, odd_halves, singles, without
from translate.fields import flag
from translate.images import ImageSpec
from translate.outside import visible
from translate.settings import VAL_FRACTION_UNUSED, DataKind, DataSettings

NOTHING = DataNeeds()
READING = 2  # version of how a set is read; runs of version 1 do not record it
SOURCES = tuple(f"source_{name}" for name in OF_A_SIDE)
NO_CONDITIONS = Conditions()


@dataclass(frozen=True)
class Prepared:
    """Pictures whose files were all read once, what they are, and which files could not be used."""

    train: Sequence[Pair]  # unpaired: sources alone, then targets alone
    val: Sequence[Pair]  # empty only if --val-fraction is 0 or there is a single pair
    test: Sequence[Pair]
    source: ImageSpec | None  # None: there are targets alone
    target: ImageSpec
    fingerprint: str  # sha256 over names and file contents of train and val, wherever their folder lies
    problems: tuple[Problem, ...]
    kind: DataKind = "pairs"  # of domains and targets each is a target alone
    val_paired: bool = True  # source and target of a validation example belong together: figures mean something
    conditions: Conditions = NO_CONDITIONS  # of a model that is trained on them
    held_out: str = ""  # the same over val alone: the set may be divided anew without any change of its pictures
    reread: tuple[str, ...] = ()  # what the first version, whose runs have no `reading`, made otherwise of the set
    regrouped: bool = False  # and it may have had the same pictures, in other splits
    scale: int = 1  # times that a target is as large as its source
    index: Path | None = field(default=None, compare=False)  # what knows these pictures at the next start
    unchecked: int = field(default=0, compare=False)  # pictures that were not decoded: `behind` has it done meanwhile
    prints: Mapping[str, bytes] = field(default_factory=dict)  # of train and val: eight bytes of each pair's digest

    @property
    def contents(self) -> dict[str, str]:
        """`train a.png` -> a digest of what the fingerprint is made of; a picture of one side is `train source a.png`.

        Of train and val.
        """
        found = {}
        for part, prints in self.prints.items():
            for place, pair in enumerate(self.train if part == "train" else self.val):
                side = "" if pair.source and pair.target else "source " if pair.source else "target "
                found[f"{part} {side}{pair.name}"] = prints[PRINT * place : PRINT * (place + 1)].hex()
        return found

    @property
    def specs(self) -> dict[str, ImageSpec]:
        """What the pictures of a batch are, by name."""
        return {"target": self.target} | ({} if self.source is None else {"source": self.source})

    @property
    def examples(self) -> int:
        """Length of a training epoch: the pairs or pictures, without pairs those of the larger side."""
        return max(len(of_side(self.train, role)) for role in ROLES) if self.kind == "unpaired" else len(self.train)


@listing_once()  # the layouts look at the same folders in turn
def prepare(
    settings: DataSettings,
    *,
    kind: DataKind = "pairs",
    data_needs: DataNeeds = NOTHING,
    conditions: Conditions | None = None,
    start: Conditions | None = None,
    pretrained: Pretrained | None = None,
    scale: int = 1,
    beside: Path | None = None,
    behind: bool = False,
    alone: bool = False,
    on_problem: Callable[[Problem], None] = lambda problem: None,
    say: Callable[[str], None],
    progress: bool = False,
) -> Prepared:
    """Finds the pictures of `settings`, reads each file once, and decides what they are.

    `say` gets a line at a time: counts, files that cannot be used and why, what looks odd, what was decided.

    Args:
        kind: what an example is: a source and its target; a picture of either side, whoever its partner; one of a
            domain, which may become like any other; a target alone.
        data_needs: what the model is trained on beside pictures.
        conditions: of a run that goes on; used as they are. Pairs with other labels are problems.
        start: of the model that training starts from; taken over where they cover the data.
        pretrained: the text encoder that `data_needs` names.
        scale: of the model: times that a target is as large as its source.
        beside: folder of a run that may have a copy of the index of these pictures.
        behind: of a large set that has validation pictures, the plain ones need not be decoded now.
        alone: read with a single thread.
        on_problem: called for each file that cannot be read, when it is found.

    Raises:
        ValueError: settings that contradict each other or the files, folders in which no layout is found or
            nothing is usable, or, with `--strict`, any file that cannot be used.
    """
    paired, domains = kind == "pairs", kind in ("domains", "targets")  # these have one side only
    assert paired or domains or not (data_needs.label or data_needs.text), "labels and texts of two sides without pairs"
    _check(settings, kind=kind)
    settings = settings.for_scale(scale)
    target, source = target_side(settings), None if domains else source_side(settings)
    if settings.label_columns and not data_needs.label:
        raise ValueError("--label-columns changes nothing in a model that does not learn from labels: leave it out")

    # Find: the layout, its pictures and their labels.
    on_labels_or_texts = data_needs.label or data_needs.text
    layout = choose(settings, kind=kind, conditioned=on_labels_or_texts)
    if settings.label_columns and layout != "metadata":
        raise ValueError(f"--label-columns are those of a table, and this set is laid out as {layout}: leave it out")
    entry = layouts_of(kind, conditioned=on_labels_or_texts)[layout]
    found = entry.find(settings) if paired or entry.find_sides is None else entry.find_sides(settings)
    labelled = found_conditions.with_labels(
        found.listing, data_needs, known=conditions.in_training.labels if conditions else ()
    )
    lacking = [*labelled.problems]  # by pair, as their files may be used by others
    trees = [tree(root) for root in found.roots]
    odd = tuple(problem for here in trees for problem in here.problems)
    listing = replace(labelled.listing, problems=tuple(dict.fromkeys((*labelled.listing.problems, *odd))))
    found = replace(found, listing=listing)
    looked_for = f"{layout}: {entry.looked_for}"

    # Read every file once; keep what can be used.
    sides = [side for side in (source, target) if side]
    # What is held out is decided by how pictures look.
    later = behind and not settings.strict and bool(listing.val) and not any(side.needs_pixels for side in sides)
    seen = scan(
        found.listing.every,
        source=source,
        target=target,
        max_pixels=settings.max_pixels,
        index=index_folder(),
        beside=beside,
        glance=later,
        alone=alone,
        progress=progress,
        say=say,
        on_problem=on_problem,
    )
    # Without pairs a picture is used though its partner is broken.
    stock = found.listing if paired or domains else singles(found.listing)
    not_pairs, unusual = odd_halves(seen, side_by_side=settings.layout == layout)
    problems = [*found.listing.problems, *seen.problems, *not_pairs]
    usable = without(stock, problems)
    roles = [side.role for side in sides]
    _require(usable.train, roles, [*problems, *lacking], found=found, looked_for=looked_for)

    # Decide what the pictures of each side are.
    specs: dict[Role, ImageSpec] = {}
    notes = list(found.notes)
    for side in sides:
        trained = seen.of(usable.train, side.role)
        decision = decide(side, seen.of(usable.every, side.role), train=trained, paired=paired)
        specs[side.role] = decision.spec
        problems += decision.problems
        notes += decision.notes
    usable = without(usable, problems)

    # Divide into training and validation.
    whole = without(found.listing, problems)
    if conditions is None and whole.val and settings.val_fraction:  # 0 changes nothing then
        settings.refuse_unused({"val_fraction": VAL_FRACTION_UNUSED})
    apart: list[Problem] = []
    try:
        if domains:
            division = divide.in_domains(whole, seen, fraction=settings.val_fraction)
        elif not paired and entry.find_sides is None:
            division, apart = divide.taken_apart(whole, usable, seen, settings=settings)
        else:
            matched, apart = matching(whole, seen, settings=settings, scale=scale)
            divided = divide.in_pairs if paired else divide.in_sides
            division = divided(matched, seen, fraction=settings.val_fraction)
    except NotDecodedError:  # none of the validation pictures can be used
        return prepare(
            settings,
            kind=kind,
            data_needs=data_needs,
            conditions=conditions,
            start=start,
            pretrained=pretrained,
            scale=scale,
            beside=beside,
            alone=alone,
            on_problem=on_problem,
            say=say,
            progress=progress,
        )
    listing = division.listing

    # Find the conditions of the training pictures; pairs with other labels are problems.
    if data_needs.label and not whole.val:
        labelled = found_conditions.all_labels_trained(listing)
        listing, notes = labelled.listing, [*notes, *labelled.notes]
    if conditions is None:
        _require(listing.train, roles, [*problems, *apart, *lacking], found=found, looked_for=looked_for)
        conditions, more = found_conditions.find_conditions(
            listing.train, data_needs, pretrained=pretrained, start=start, several=listing.several
        )
        notes += more
    labelled = found_conditions.known(listing, conditions)
    listing = labelled.listing
    # the two halves of a file have the same one
    problems = list(dict.fromkeys([*problems, *apart, *lacking, *labelled.problems]))
    if not listing.train and found.reread:
        looked_for += f" (this version reads the set otherwise than the first: {'; '.join(found.reread)})"
    _require(listing.train, roles, problems, found=found, looked_for=looked_for)
    if problems and settings.strict:
        raise ValueError(report.refused(problems, roots=found.roots))
    if settings.derive:
        specs["source"] = derived_spec(settings.derive, specs["target"])
        made = (
            f"reduced by {scale}, antialiased bicubic"
            if scale > 1
            else f"made from the target by --derive {settings.derive}"
        )
        notes.append(f"source: {made}")
    if kind == "domains":
        specs["source"] = specs["target"]

    # Report.
    whole_print, prints = fingerprinted([*listing.train, *listing.val], seen)
    between = PRINT * len(listing.train)
    prepared = Prepared(
        train=packed(listing.train),
        val=packed(listing.val),
        test=packed(listing.test),
        source=specs.get("source"),
        target=specs["target"],
        fingerprint=whole_print,
        problems=tuple(problems),
        kind=kind,
        val_paired=paired or (bool(listing.val) and all(pair.source and pair.target for pair in listing.val)),
        conditions=conditions,
        held_out=fingerprinted(listing.val, seen)[0],
        reread=(*found.reread, *read_otherwise(found, trees, not_pairs)),
        regrouped=found.regrouped,
        scale=scale,
        index=seen.index,
        unchecked=seen.glanced,
        prints={"train": prints[:between], "val": prints[between:]},
    )
    _check_validation(prepared, settings)

    lines = [
        *report.counts(listing, problems, roots=found.roots, layout=layout, kind=kind),
        *division.notes,
        *ignored(found, trees, problems),
        *report.other_proportions(unusual, found.roots),
        *report.oddities(listing, seen, kind=kind),
        *notes,
        *found_conditions.remarks(listing, conditions, flip=settings.flip),
        *([report.unchecked(seen.glanced)] if seen.glanced else []),
    ]
    for line in lines:
        say(visible(line))
    return prepared


def _check(settings: DataSettings, *, kind: DataKind) -> None:
    """Raises:
    ValueError: a setting that the other kind of model has.
    """
    if kind == "domains":
        _check_domains(settings)
        return
    if kind == "targets":
        _check_targets(settings)
        return
    if settings.derive:
        amount_for(settings.derive, settings.derive_amount)  # complains now rather than after everything was read
    if kind == "pairs":
        if settings.val_paired:
            raise ValueError("--val-paired is for models without pairs; this one has pairs everywhere: leave it out")
        return
    for name in ("derive", "source_ignore", "target_ignore", "source_nodata", "target_nodata"):
        if getattr(settings, name) is not None:
            raise ValueError(f"{flag(name)} needs pairs, and this model is trained without them: leave it out")


def _check_domains(settings: DataSettings) -> None:
    """Raises:
    ValueError: a setting of two sides, where every picture is on both.
    """
    if settings.data is None:
        raise ValueError(
            "--source and --target: this model learns from single pictures with labels or captions: put them "
            "into one folder, with a folder of each class or a table, and give that as --data FOLDER"
        )
    pointless = {
        "derive": "needs pairs",
        "derive_amount": "needs pairs",
        "direction": "has no meaning, since each picture may become like any other",
        "val_paired": "has no meaning without pairs",
        "photometric": "changes sources only, and each picture is source and target",
        "target_ignore": "needs pairs",
        "target_nodata": "needs pairs",
        **{name: f"has no meaning: {flag(name.replace('source', 'target'))} is for all pictures" for name in SOURCES},
    }
    for name, reason in pointless.items():
        if getattr(settings, name) != DataSettings.model_fields[name].default:
            raise ValueError(f"{flag(name)} {reason} for a model of many domains: leave it out")


def _check_targets(settings: DataSettings) -> None:
    """Raises:
    ValueError: a setting of sources, or of what a target is to its source, where pictures are made of noise.
    """
    of_pairs = ("derive", "derive_amount", "direction", "val_paired", "photometric", "target_ignore", "target_nodata")
    for name, known in DataSettings.model_fields.items():
        of_source = name.startswith(("source", "val_source")) or name in ("target", "val_target")
        if (of_source or name in of_pairs) and getattr(settings, name) != known.default:
            instead = "give --data FOLDER alone" if settings.data is None else "leave it out"
            raise ValueError(
                f"{flag(name)} has no meaning for a model that makes pictures of noise, without sources: {instead}"
            )


def _require(
    pairs: Sequence[Pair], roles: Sequence[Role], problems: Sequence[Problem], *, found: Found, looked_for: str
) -> None:
    """Raises:
    ValueError: there is nothing to train on, on one of the sides or at all.
    """
    lacking = [role for role in roles if not has_side(pairs, role)]
    if lacking:
        raise ValueError(
            report.nothing_usable(
                list(dict.fromkeys(problems)), roots=found.roots, looked_for=looked_for, lacking=lacking
            )
        )


def _check_validation(data: Prepared, settings: DataSettings) -> None:
    """Raises:
    ValueError: a validation that lacks one side, or has no pairs in spite of `--val-paired`.
    """
    if settings.val_paired and not data.val_paired:
        raise ValueError("--val-paired: there are no usable validation pairs: give some, or leave it out")
    lacking = [role for role in ROLES if not has_side(data.val, role)]
    if data.kind == "unpaired" and len(lacking) == 1:
        raise ValueError(
            f"no usable {lacking[0]} pictures for validation: add some, "
            "or take the other side's away, too, to have a part of the training pictures held out"
        )
