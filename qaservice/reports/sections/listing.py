"""The line listing: every flag with its evidence, votes, decision, identifiers and place in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from compliance.rendering.document import CorrectionRow, Fact, FlagEntry, Picture, VoteRow
from imaging.errors import ImagingError
from imaging.pictures.crop import LUNG_WINDOW_HU, Drawable, Frame, crop_around, slice_nearest
from imaging.types import Grid, Sphere
from qaservice.analysis.calibration import lead_of, probability_of
from qaservice.analysis.models import Flag, FlagObservation, FlagState
from qaservice.common.errors import ServiceError
from qaservice.labels.models import FindingRevision
from qaservice.labels.selectors import mask_of
from qaservice.labels.shapes import box_of_revision
from qaservice.reports import words
from qaservice.reports.evidence import Evidence, event_words
from qaservice.reports.sections.fitness import marks_of_flag
from qaservice.review.models import Consensus, Correction, Decision, Phase, Verdict
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of, slice_hounsfield, sop_instance_uids_of

NOTHING_BEFORE = "nothing stood here"
ALREADY_SO = "the reference standard was found to say so already"
FRAME = Frame(side_pixels=192, width_mm=64.0, window_hu=LUNG_WINDOW_HU, line_pixels=1)
Progress = Callable[[int, int, str], None]


def line_listing(evidence: Evidence, *, progress: Progress | None) -> tuple[FlagEntry, ...]:
    """Return an entry for every flag, in the order of their numbers; reports progress flag by flag."""
    what = event_words()
    entries = []
    for done, flag in enumerate(evidence.flags):
        if progress is not None:
            progress(done, len(evidence.flags), f"listing {flag}")
        entries.append(_entry(evidence, flag, what))
    return tuple(entries)


def corrections(evidence: Evidence) -> tuple[CorrectionRow, ...]:
    """Return every change to the reference standard, by flag and round."""
    rows = []
    for flag in evidence.flags:
        for consensus in evidence.consensuses.get(flag.pk, ()):
            if consensus.pk in evidence.corrections:
                rows.append(_correction(flag, evidence.corrections[consensus.pk]))
    return tuple(rows)


def _entry(evidence: Evidence, flag: Flag, what: Mapping[str, str]) -> FlagEntry:
    observations = evidence.observations[flag.pk]
    latest = observations[-1]
    consensuses = evidence.consensuses.get(flag.pk, ())
    last = consensuses[-1] if consensuses and flag.state == FlagState.SETTLED else None
    correction = evidence.corrections.get(last.pk) if last else None
    numbers, uids = _images(flag.series)
    picture, missing, index = _picture(flag, evidence, correction)
    return FlagEntry(
        label=str(flag),
        suspicion=words.suspicion(flag.check_name),
        subject=flag.annotation_set.reader_label + (f" ({words.SIMULATED})" if flag.annotation_set.simulated else ""),
        state=str(FlagState(flag.state).label),
        outcome=words.decision(flag.outcome) if flag.outcome else "",
        probability=words.decimal(flag.score, 2),
        rounds=flag.round,
        place=words.place(flag.x_mm, flag.y_mm, flag.z_mm),
        image_number="none" if index is None else _image_number(numbers, index),
        reason=latest.reason,
        identifiers=tuple(_identifiers(evidence, flag, observations, uids, index)),
        votes=tuple(_votes(evidence.verdicts.get(flag.pk, ()), observations)),
        decision=_decision(flag, consensuses, correction),
        correction=_correction(flag, correction) if correction else None,
        trail=tuple(
            (str(entry.index), ALREADY_SO if entry.already_so else what.get(entry.kind, entry.kind).lower())
            for entry in evidence.trails.get(str(flag.pk), ())
        ),
        picture=picture,
        picture_missing=missing,
    )


def _images(series: Series) -> tuple[Sequence[int | None], Sequence[str]]:
    if series.grid is None:
        return (), ()
    return series.grid["instance_numbers"], sop_instance_uids_of(series)


def _image_number(numbers: Sequence[int | None], index: int) -> str:
    number = numbers[index] if index < len(numbers) else None
    return str(number) if number is not None else f"slice {index + 1} (no image number)"


def _identifiers(
    evidence: Evidence, flag: Flag, observations: Sequence[FlagObservation], uids: Sequence[str], index: int | None
) -> list[Fact]:
    latest = observations[-1]
    runs = words.listed(list(dict.fromkeys(str(observation.run.number) for observation in observations)))
    probability = probability_of(latest)
    facts = [
        Fact("Study", flag.series.study.study_instance_uid, exact=True),
        Fact("Series", flag.series.series_instance_uid, exact=True),
    ]
    if index is not None and index < len(uids):
        facts.append(Fact("Image", uids[index], exact=True))
    if flag.finding is not None:
        facts.append(Fact("Label under review", flag.finding.tracking_uid, exact=True))
    operating = (
        f"operating threshold {words.decimal(latest.threshold, 3)}"
        if latest.threshold is not None
        else "which abstained on this series"
    )
    facts += [
        Fact("Check", f"{words.suspicion(lead_of(latest))}, version {latest.check_version}, seen in run {runs}"),
        Fact("Probability rests on", words.sentence(probability.basis)),
        Fact("QA model", f"{latest.run.model}, {operating}"),
        Fact("Model, SHA-256", latest.model_sha256, exact=True),
        Fact("Model input, SHA-256", latest.input_sha256, exact=True),
    ]
    if len(probability.checks) > 1:
        facts.append(Fact("Checks that speak", words.listed([words.suspicion(name) for name in probability.checks])))
    worth = marks_of_flag(evidence, latest)
    if worth:
        facts.append(Fact("Worth of the model", words.sentence(worth)))
    if flag.reopened_because:
        facts.append(Fact("Opened again because", words.sentence(flag.reopened_because)))
    return facts


def _votes(verdicts: Sequence[Verdict], observations: Sequence[FlagObservation]) -> list[VoteRow]:
    blind = {(one.round, one.reader_id): one.decision for one in verdicts if one.phase == Phase.BLIND}
    spoke = {one.pk for one in observations if one.threshold is not None}
    rows = []
    for verdict in sorted(verdicts, key=lambda one: (one.round, one.reader.display_name, one.given_at, str(one.pk))):
        rows.append(
            VoteRow(
                reader=verdict.reader.display_name,
                simulated=verdict.simulated,
                round=verdict.round,
                final=verdict.phase == Phase.FINAL,
                decision=words.decision(verdict.decision),
                changed=verdict.phase == Phase.FINAL
                and blind.get((verdict.round, verdict.reader_id), verdict.decision) != verdict.decision,
                rationale=verdict.rationale,
                correction=_proposed(verdict.correction),
                shown=_shown(verdict.shown, model_spoke=verdict.observation_id in spoke),
                given_at=verdict.given_at,
            )
        )
    return rows


def _proposed(correction: Mapping[str, object] | None) -> str:
    if not correction:
        return ""
    parts = [words.PROPOSED[str(correction["action"])]]
    if correction.get("category"):
        parts.append(str(correction["category"]))
    diameter = correction.get("diameter_mm")
    if isinstance(diameter, int | float):
        parts.append(f"{words.decimal(diameter, 1)} mm")
    parts.append(str(correction.get("origin", "")))
    return ", ".join(part for part in parts if part)


def _shown(shown: Mapping[str, object], *, model_spoke: bool) -> str:
    text = "image, label under review" if shown.get("label") else "image, this reader's labels"
    if not shown.get("opinions_revealed"):
        return f"{text}, neutral pointer to the place; no other opinion."
    others, proposals = shown.get("other_sets"), shown.get("proposals")
    parts = [text, "reason and score"]
    parts.append(
        f"opinion of model bundle {str(shown.get('model_sha256', ''))[:12]}"
        if model_spoke
        else "no opinion of the model, which abstained"
    )
    if isinstance(others, list):
        parts.append(words.counted(len(others), "other reader's labels", "other readers' labels"))
    if isinstance(proposals, list):
        parts.append(words.counted(len(proposals), "proposed correction"))
    return ", ".join(parts) + "."


def _decision(flag: Flag, consensuses: Sequence[Consensus], correction: Correction | None) -> str:
    if flag.state == FlagState.DISPUTED:
        return "None: all reviewers asked have voted and do not agree. The flag stays open."
    if flag.state == FlagState.OPEN or not consensuses:
        return "None yet."
    consensus = consensuses[-1]
    text = f"{words.decision(consensus.outcome)}. {words.sentence(consensus.rule)}"
    if consensus.outcome == Decision.LABEL_WRONG and correction is None:
        text += " The reference standard, which begins as the readers' majority, said so already and was not changed."
    return text


def _correction(flag: Flag, correction: Correction) -> CorrectionRow:
    return CorrectionRow(
        flag=str(flag),
        action=words.ACTIONS[correction.action],
        place=words.coordinates(correction.after.x_mm, correction.after.y_mm, correction.after.z_mm),
        before=_described(correction.before),
        after=_described(correction.after),
        before_sha256=_digest(correction.before),
        after_sha256=_digest(correction.after),
        dataset_version=correction.dataset_version.number,
        origin=correction.after.origin,
    )


def _described(revision: FindingRevision | None) -> str:
    if revision is None:
        return "no finding in the reference standard"
    if not revision.present:
        return "taken out of the reference standard"
    shape = "outline" if revision.shape == "mask" else revision.shape
    size = f", {words.decimal(revision.diameter_mm, 1)} mm" if revision.diameter_mm is not None else ""
    return f"{revision.category}, {shape}{size}"


def _digest(revision: FindingRevision | None) -> str:
    if revision is None:
        return NOTHING_BEFORE
    if not revision.present:
        return "taken out"
    return revision.mask_id or f"no outline to hash: a {revision.shape}"


def _picture(flag: Flag, evidence: Evidence, correction: Correction | None) -> tuple[Picture | None, str, int | None]:
    """Return the picture or why there is none, and the index of the slice nearest to the flag's place."""
    if flag.series.grid is None:
        return None, "No picture: the series is not a regular volume.", None
    grid = grid_of(flag.series)
    place = (flag.x_mm, flag.y_mm, flag.z_mm)
    index = slice_nearest(grid=grid, place_mm=place)
    label = evidence.revisions.get(flag.finding_id) if flag.finding_id else None
    after = correction.after if correction is not None and correction.after.present else None
    try:
        crop = crop_around(
            grid=grid,
            slice_index=index,
            hounsfield=slice_hounsfield(flag.series, index),
            place_mm=place,
            radius_mm=flag.radius_mm,
            label=_shapes(label, grid),
            corrected=_shapes(after, grid),
            frame=FRAME,
        )
    except (ServiceError, ImagingError) as error:
        return None, f"No picture: {error.message}", index
    lines = ["Dotted ring: the flag's place."]
    if label is not None:
        lines.append("Solid line: the label under review.")
    if after is not None:
        lines.append("Dashed line: after the correction.")
    return (
        Picture(
            png=crop.png,
            alternative=f"CT in lung window around the place of {flag}, image {index + 1} of {grid.shape[0]} along the "
            f"series. {' '.join(lines)}",
            left_letter=crop.letters.left,
            right_letter=crop.letters.right,
            top_letter=crop.letters.top,
            bottom_letter=crop.letters.bottom,
            caption=f"Lung window, {FRAME.width_mm:.0f} mm wide. {' '.join(lines)}",
        ),
        "",
        index,
    )


def _shapes(revision: FindingRevision | None, grid: Grid) -> tuple[Drawable, ...]:
    if revision is None or revision.shape == "point":
        return ()
    if revision.shape == "sphere" and revision.diameter_mm is not None:
        place = (revision.x_mm, revision.y_mm, revision.z_mm)
        return (Sphere(centre_mm=place, diameter_mm=revision.diameter_mm),)
    box = box_of_revision(revision)
    if box is not None:
        return (box,)
    mask = mask_of(revision)
    # A label from another grid belongs to no slice of this picture.
    return (mask,) if mask.grid.digest == grid.digest else ()
