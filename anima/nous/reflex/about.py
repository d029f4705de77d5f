"""Rules about the time, about itself, sums and small talk. Says only what the request's facts say."""

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from anima.nous.anthropic import DEFAULT_MODEL
from anima.nous.reflex.answer import Answer, Asked
from anima.nous.reflex.memory import name_of
from anima.nous.reflex.sums import work_out

_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_MONTHS = {
    "en": re.findall(r"\w+", "January February March April May June July August September October November December"),
    "de": re.findall(r"\w+", "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
}


def clock(asked: Asked) -> tuple[datetime, str] | None:
    """The moment of the request in the agent's time zone, and the zone's name; None if the request has no moment."""
    try:
        now = float(asked.facts["now"])
        return _in_zone(now, asked.facts.get("time_zone", ""))
    except (KeyError, ValueError, OverflowError, OSError):
        return None


def _in_zone(now: float, name: str) -> tuple[datetime, str]:
    zone: tzinfo = UTC
    if name:
        try:
            zone = ZoneInfo(name)
        except (ValueError, OSError, KeyError):  # unknown name, or no database of zones on this machine
            name = ""
    return datetime.fromtimestamp(now, zone), name or "UTC"


def _day(moment: datetime, lang: str) -> str:
    day, month = _DAYS[lang][moment.weekday()], _MONTHS[lang][moment.month - 1]
    return f"{day}, {moment.day}. {month} {moment.year}" if lang == "de" else f"{day}, {moment.day} {month} {moment.year}"


def time(asked: Asked) -> Answer:
    """Answer to: what time is it?."""
    if (found := clock(asked)) is None:
        return asked.say("I was not told the time.", "Mir wurde die Uhrzeit nicht gesagt.")
    moment, zone = found
    return asked.say(
        f"It is {moment:%H:%M} on {_day(moment, 'en')} ({zone}).",
        f"Es ist {moment:%H:%M} Uhr, {_day(moment, 'de')} ({zone}).",
    )


def date(asked: Asked) -> Answer:
    """Answer to: what day is it?."""
    if (found := clock(asked)) is None:
        return asked.say("I was not told the date.", "Mir wurde das Datum nicht gesagt.")
    moment, zone = found
    week = moment.isocalendar().week
    return asked.say(
        f"Today is {_day(moment, 'en')} (week {week}, {zone}).",
        f"Heute ist {_day(moment, 'de')} (Woche {week}, {zone}).",
    )


def _name(asked: Asked) -> str:
    return asked.facts.get("agent") or asked.conversation.request.agent or "anima"


def itself(asked: Asked) -> Answer:
    """Answer to: who are you?."""
    return asked.say(
        f"I am {_name(asked)}, an agent of this house. Right now I answer by the built-in reflex: fixed rules, no language "
        "model, and nothing you say is sent to one. `help` lists what I can do.",
        f"Ich bin {_name(asked)}, ein Agent dieses Hauses. Gerade antworte ich mit dem eingebauten Reflex: feste Regeln, kein "
        "Sprachmodell, und nichts, was du sagst, geht an eines. `hilfe` zeigt, was ich kann.",
    )


def nature(asked: Asked) -> Answer:
    """Answer to: are you an AI?."""
    return asked.say(
        "I am a small program that follows fixed rules; there is no language model behind me and nobody typing.",
        "Ich bin ein kleines Programm mit festen Regeln; hinter mir steht kein Sprachmodell und niemand, der tippt.",
    )


def model(asked: Asked) -> Answer:
    """Answer to: which model are you?."""
    return asked.say(
        "None: `reflex`, fixed rules that need no key. " + way_to_a_model("en"),
        "Keines: `reflex`, feste Regeln, die keinen Schlüssel brauchen. " + way_to_a_model("de"),
    )


def way_to_a_model(lang: str) -> str:
    """How to get a real model, in one sentence."""
    command = f"`animactl create NAME --model anthropic:{DEFAULT_MODEL}`"
    if lang == "de":
        return f"Für ein echtes Modell: ANTHROPIC_API_KEY setzen, `animactl down`, `animactl up`, dann {command}."
    return f"For a real model: set ANTHROPIC_API_KEY, `animactl down`, `animactl up`, then {command}."


def place(asked: Asked) -> Answer:
    """Answer to: where do you run?."""
    host = asked.facts.get("host", "")
    if not host:
        return asked.say("I was not told where I run.", "Mir wurde nicht gesagt, wo ich laufe.")
    return asked.say(
        f"On {host}, in a process of my own (`animactl status` shows it).",
        f"Auf {host}, in einem eigenen Prozess (`animactl status` zeigt ihn).",
    )


def uptime(asked: Asked) -> Answer:
    """Answer to: how long have you been running?."""
    lasted = _lasted(asked)
    if not lasted:
        return asked.say("I was not told when I was started.", "Mir wurde nicht gesagt, wann ich gestartet wurde.")
    return asked.say(f"This process of mine has been running for {lasted}.", f"Dieser Prozess von mir läuft seit {lasted}.")


def _lasted(asked: Asked) -> str:
    try:
        seconds = int(float(asked.facts["now"]) - float(asked.facts["started_at"]))
    except (KeyError, ValueError, OverflowError):
        return ""
    seconds = max(0, seconds)
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def tools(asked: Asked) -> Answer:
    """Answer to: which tools do you have?."""
    specs = asked.conversation.request.tools
    if not specs:
        return asked.say("I have no tools in this conversation.", "Ich habe in diesem Gespräch keine Werkzeuge.")
    lines = "\n".join(f"- `{each.name}`: {each.summary.partition(chr(10))[0]}" for each in specs)
    return asked.say(f"I have:\n{lines}", f"Ich habe:\n{lines}")


def messages(asked: Asked) -> Answer:
    """Answer to: how many messages are in this session?."""
    mine, yours = len(asked.conversation.answers), len(asked.conversation.said) + 1
    return asked.say(
        f"I can see {_counted(yours, 'message', 'messages')} of yours, this one included, "
        f"and {_counted(mine, 'answer', 'answers')} of mine.",
        f"Ich sehe {_counted(yours, 'Nachricht', 'Nachrichten')} von dir, diese mitgezählt, "
        f"und {_counted(mine, 'Antwort', 'Antworten')} von mir.",
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def persona(asked: Asked) -> Answer:
    """Answer to: what are your instructions?."""
    chars = len(asked.conversation.request.system)
    return asked.say(
        f"My system prompt has {chars:,} characters (persona.md and what belongs to it). "
        "As a reflex I do not follow it; a language model would.",
        f"Mein Systemprompt hat {chars:,} Zeichen (persona.md und was dazugehört). "
        "Als Reflex folge ich ihm nicht; ein Sprachmodell täte es.",
    )


def state(asked: Asked) -> Answer:
    """Answer to: how are you?."""
    lasted = _lasted(asked)
    return asked.say(
        f"Awake{f', for {lasted} now' if lasted else ''}, and all my rules are in place. I have no feelings to report.",
        f"Wach{f', seit {lasted}' if lasted else ''}, und alle meine Regeln sind da. Gefühle habe ich keine zu melden.",
    )


def worked_out(asked: Asked) -> Answer | None:
    """Answer to: what is 12 * (3 + 4)?."""
    text = asked.group("sum")
    result = work_out(text, decimal_comma=asked.lang == "de")
    if result is None:
        return None
    return Answer(f"{text.rstrip(' =?')} {result if result.startswith('≈') else '= ' + result}")


def greet(asked: Asked) -> Answer:
    """Hello."""
    word = asked.group("greeting")
    word = word[:1].upper() + word[1:]
    name = name_of(asked.conversation)
    hello = f"{word}, {name}." if name else f"{word}."
    if asked.conversation.answers:
        return asked.say(f"{hello} What can I do?", f"{hello} Was kann ich tun?")
    return asked.say(
        f"{hello} I am {_name(asked)}, answering by rules until I am given a model. `help` lists what I can do.",
        f"{hello} Ich bin {_name(asked)} und antworte nach Regeln, bis ich ein Modell bekomme. `hilfe` zeigt, was ich kann.",
    )


def welcome(asked: Asked) -> Answer:
    """Thanks."""
    return asked.say("You are welcome.", "Gern geschehen.")


def farewell(asked: Asked) -> Answer:
    """Answer to: bye."""
    name = name_of(asked.conversation)
    comma = f", {name}" if name else ""
    return asked.say(f"Goodbye{comma}. I stay here.", f"Bis bald{comma}. Ich bleibe hier.")


def heard(asked: Asked) -> Answer:
    """Answer to: test."""
    return asked.say("I hear you: your message came in and this answer went out.", "Ich höre dich: Deine Nachricht kam an.")


def abilities(asked: Asked, examples: list[tuple[str, str, str]]) -> Answer:
    """Answer to: help. Each example is the tool it needs ("" for none), then English, then German."""
    have = {"", *(each.name for each in asked.conversation.request.tools)}
    english = "\n".join(f"- {en}" for needs, en, _ in examples if needs in have)
    german = "\n".join(f"- {de}" for needs, _, de in examples if needs in have)
    return asked.say(
        f"I follow fixed rules. For example:\n{english}\n- or pipe a text to me for an extract of it\n{way_to_a_model('en')}",
        f"Ich folge festen Regeln. Zum Beispiel:\n{german}\n- oder leite mir einen Text herein, dann gebe ich einen Auszug\n"
        f"{way_to_a_model('de')}",
    )
