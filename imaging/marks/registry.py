"""All rules of a survey, in the order in which kinds are listed."""

from __future__ import annotations

from imaging.marks.contour_rules import CrossingContour, ExclusionAstray, OpenContour, StrayContour
from imaging.marks.form_rules import DuplicateId, OutsideTheImage, PointInSeveralPlaces, SlicePosition, TooSmall
from imaging.marks.outline_rules import DoubledContour, GapInOutline, SeveralParts, SliceUnlikeNeighbours
from imaging.marks.rating_rules import (
    RatingAgainstOthers,
    RatingOutOfRange,
    RatingsContradict,
    RatingsMisplaced,
    RatingsMissing,
    ScaleInverted,
)
from imaging.marks.reader_rules import (
    CategoryAgainstOthers,
    EmptyReading,
    ExtentAgainstOthers,
    IdenticalOutlines,
    SizeClassAgainstOthers,
    SliceOffTheOthers,
    SlicesAgainstOthers,
)
from imaging.marks.twice_rules import JoinedOrSplit, MarkedTwice, StackedOutlines, TwoCategories
from imaging.marks.types import Rule

RULES: tuple[Rule, ...] = (
    GapInOutline(),
    SeveralParts(),
    StackedOutlines(),
    MarkedTwice(),
    TwoCategories(),
    StrayContour(),
    OpenContour(),
    CrossingContour(),
    DoubledContour(),
    SliceUnlikeNeighbours(),
    ExclusionAstray(),
    TooSmall(),
    PointInSeveralPlaces(),
    OutsideTheImage(),
    SlicePosition(),
    DuplicateId(),
    RatingsMissing(),
    RatingsMisplaced(),
    RatingOutOfRange(),
    RatingsContradict(),
    CategoryAgainstOthers(),
    SizeClassAgainstOthers(),
    JoinedOrSplit(),
    SlicesAgainstOthers(),
    SliceOffTheOthers(),
    ExtentAgainstOthers(),
    IdenticalOutlines(),
    EmptyReading(),
    ScaleInverted(),
    RatingAgainstOthers(),
)
