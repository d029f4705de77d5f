"""The times a question speaks of: "last Friday", "in May", "on 8 May 2023", "two weeks ago", and their German kin. Pure."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

Span = tuple[float, float]  #: seconds since 1970, from and to

_MONTHS = (
    ("january", "januar"), ("february", "februar"), ("march", "märz"), ("april",), ("may", "mai"), ("june", "juni"),
    ("july", "juli"), ("august",), ("september",), ("october", "oktober"), ("november",), ("december", "dezember"),
)  # fmt: skip
_DAYS = (
    ("monday", "montag"), ("tuesday", "dienstag"), ("wednesday", "mittwoch"), ("thursday", "donnerstag"),
    ("friday", "freitag"), ("saturday", "samstag"), ("sunday", "sonntag"),
)  # fmt: skip
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6} | {
    "einem": 1, "einer": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6,
}  # fmt: skip
_LENGTHS = {"day": 1, "tag": 1, "week": 7, "woche": 7, "month": 30, "monat": 30, "year": 365, "jahr": 365}
_MONTH = {name: number for number, names in enumerate(_MONTHS, 1) for name in names}
_DAY = {name: number for number, names in enumerate(_DAYS) for name in names}

_MONTH_WORDS = "|".join(_MONTH)
#: "May" begins questions ("may I ..."), so a month alone needs a word before it that speaks of time
_IN_MONTH = re.compile(rf"\b(?:in|during|since|last|of|im|seit|letzten)\s+({_MONTH_WORDS})\b(?:,?\s+(\d{{4}}))?")
_DAY_OF_MONTH = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?({_MONTH_WORDS})\b(?:,?\s+(\d{{4}}))?")
_MONTH_DAY = re.compile(rf"\b({_MONTH_WORDS})\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(\d{{4}}))?")
_IN_YEAR = re.compile(r"\b(?:in|during|since|im jahr|seit)\s+((?:19|20)\d\d)\b")
_WEEKDAY = re.compile(rf"\b(?:last|on|am|letzten|vorigen)\s+({'|'.join(_DAY)})\b")
_AGO = re.compile(r"\b(\d{1,3}|" + "|".join(_COUNTS) + r")\s+(day|week|month|year)s?\s+ago\b")
_AGO_GERMAN = re.compile(r"\bvor\s+(\d{1,3}|" + "|".join(_COUNTS) + r")\s+(tag|woche|monat|jahr)(?:e|en|n)?\b")
_LAST = re.compile(r"\b(last|this|past|letzten?|letztes|diesen?|dieses)\s+(week|month|year|woche|monat|jahr)\b")


def spans(query: str, now: float) -> list[Span]:
    """The spans of time that a question names, as seen at `now`; [] if it names none. A year that is not said is any of ten."""
    said = query.casefold()
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = [*_days(said, today), *_months(said, today), *_relative(said, today)]
    found += [
        (datetime(int(year), 1, 1, tzinfo=UTC), datetime(int(year) + 1, 1, 1, tzinfo=UTC)) for year in _IN_YEAR.findall(said)
    ]
    return [(start.timestamp(), end.timestamp()) for start, end in found]


def _days(said: str, today: datetime) -> Iterator[tuple[datetime, datetime]]:
    matches = [(day, month, year) for day, month, year in _DAY_OF_MONTH.findall(said)]
    matches += [(day, month, year) for month, day, year in _MONTH_DAY.findall(said)]
    for day, month, year in matches:
        for each in [int(year)] if year else range(today.year - 9, today.year + 1):
            try:
                start = datetime(each, _MONTH[month], int(day), tzinfo=UTC)
            except ValueError:
                continue
            yield start, start + timedelta(days=1)


def _months(said: str, today: datetime) -> Iterator[tuple[datetime, datetime]]:
    for month, year in _IN_MONTH.findall(said):
        number = _MONTH[month]
        for each in [int(year)] if year and int(year) > 0 else range(today.year - 9, today.year + 1):
            yield datetime(each, number, 1, tzinfo=UTC), datetime(each + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _relative(said: str, today: datetime) -> Iterator[tuple[datetime, datetime]]:
    day = timedelta(days=1)
    if re.search(r"\b(yesterday|gestern)\b", said):
        yield today - day, today
    if re.search(r"\b(today|this morning|heute)\b", said):
        yield today, today + day
    for name in _WEEKDAY.findall(said):
        start = today - day * ((today.weekday() - _DAY[name] - 1) % 7 + 1)
        yield start, start + day
    for count, unit in [*_AGO.findall(said), *_AGO_GERMAN.findall(said)]:
        length = _LENGTHS[unit] * day
        middle = today - (_COUNTS.get(count) or int(count)) * length
        yield middle - length / 2, middle + length / 2 + day
    for which, unit in _LAST.findall(said):
        length = _LENGTHS[unit] * day
        yield (today - length, today + day) if which.startswith(("this", "dies")) else (today - 2 * length, today)
