"""The rules of the reflex, in the order they are tried, in one table that can be read aloud.

A rule is a pattern per language and the function that answers. A pattern must match all of what the person said (less
politeness and final marks, see `spoken`), so that a rule never fires on a word in passing. An answer of None passes
the message on to the next rule.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from anima.nous.reflex import about, acts, memory, texts
from anima.nous.reflex.answer import Answer, Asked
from anima.nous.reflex.hearing import ASKS_FOR_SUMMARY, Conversation


@dataclass(frozen=True, slots=True)
class Rule:
    """What is said, by language, and what is answered."""

    en: str
    de: str
    answer: Callable[[Asked], Answer | None]
    example: tuple[str, str] = ("", "")  #: for `help`, in English and German; a test says each of them
    needs: str = ""  #: the tool without which the example is not shown
    alone: bool = False  #: only as a whole message, never as one sentence of several: it acts, or takes all that follows
    then: Callable[[Asked], Answer | None] | None = None  #: what follows once tools have returned; None: their results are told


def _path(before: str = "") -> str:
    """A pattern for the name of a file or directory; its groups are called `quoted`, `marked` and `bare` behind `before`."""
    return (
        rf"(?:`(?P<{before}quoted>[^`\n]+)`|[\"'](?P<{before}marked>[^\"'\n]+)[\"']|"
        rf"(?P<{before}bare>[^\s`\"']*[./][^\s`\"']*[^\s`\"'.,;:!?]|\.{{1,2}}/?|/))"
    )


_FILE = _path()
_TELL_TAIL = r"(?:,?\s+and\s+(?:then\s+)?(?:tell|show|give|report)\s+(?:to\s+)?me\b.{0,60})?"
_SAG_TAIL = r"(?:,?\s+und\s+(?:dann\s+)?(?:sag|zeige?|gib|nenne?)\s+mir\b.{0,60})?"
_SUMMARY_TAIL = r"(?P<short>\s+(?:and|und)\s+(?:summari[sz]e|sum\s+up|fass?e?).{0,40})?"

RULES: tuple[Rule, ...] = (
    # -- the hands; only ever in the person's own words ------------------------------------------------------------------
    Rule(
        r"(?:run|execute|exec)(?:\s+the)?(?:\s+command)?:?\s*(?:`(?P<quoted>[^`\n]+)`|(?P<plain>[^`\n]+?))"
        rf"{_TELL_TAIL}|\$\s+(?P<shell>[^\n]+)",
        rf"(?:f(?:ü|ue)hre?|starte)\s+(?:den\s+befehl\s+)?`(?P<quoted>[^`\n]+)`(?:\s+aus)?{_SAG_TAIL}",
        acts.run,
        ("run `ls`", "führe `ls` aus"),
        "exec",
        alone=True,
    ),
    Rule(
        rf"(?:read|open|show(?:\s+me)?)\s+(?:the\s+)?(?:file\s+)?{_FILE}{_SUMMARY_TAIL}",
        rf"(?:lies|(?:ö|oe)ffne|zeige?(?:\s+mir)?)\s+(?:die\s+)?(?:datei\s+)?{_FILE}{_SUMMARY_TAIL}(?:\s+vor)?",
        acts.read,
        ("read `notes.txt`", "lies `notes.txt`"),
        "read_file",
        alone=True,
    ),
    Rule(
        r"(?:find|search(?:\s+for)?|grep(?:\s+for)?|list)\s+(?:every|all|each|any)?\s*(?:the\s+)?"
        rf"(?:`(?P<what>[^`\n]+)`|[\"'](?P<that>[^\"'\n]+)[\"']|(?P<mark>(?-i:TODO|FIXME|XXX|HACK|BUG|NOTE)))(?:'?s)?"
        rf"(?:\s+(?:lines?|comments?|notes?))?\s+(?:below|in|under|inside|within)\s+(?:the\s+)?(?:file\s+|directory\s+|folder\s+)?{_FILE}"
        rf"(?:,?\s+and\s+(?:write|put|save|store)\s+(?:them|it|those|these|the\s+(?:list|lines|result|results))\s+(?:down\s+)?(?:to|into|in)\s+"
        rf"(?:the\s+)?(?:file\s+)?{_path('to_')})?",
        r"(?:finde?|suche?)\s+(?:jedes|jeden|alle)?\s*"
        rf"(?:`(?P<what>[^`\n]+)`|[\"'](?P<that>[^\"'\n]+)[\"']|(?P<mark>(?-i:TODO|FIXME|XXX|HACK|BUG)))s?"
        rf"\s+(?:unter|in|unterhalb\s+von)\s+{_FILE}"
        rf"(?:,?\s+und\s+schreibe?\s+(?:sie|es|das|alles)\s+(?:nach|in)\s+(?:die\s+datei\s+)?{_path('to_')})?",
        acts.find,
        ("find every TODO below ./src and write them to todo.md", "finde alle TODO unter ./src und schreibe sie nach todo.md"),
        "grep",
        alone=True,
        then=acts.found,
    ),
    Rule(
        rf"(?:write|save|put)\s+(?:the\s+(?:text|words?|line)\s+)?(?:`(?P<what>[^`\n]+)`|\"(?P<that>[^\"\n]+)\"|'(?P<mark>[^'\n]+)')"
        rf"\s+(?:to|into|in)\s+(?:the\s+|a\s+)?(?:file\s+)?(?:called\s+)?{_path('to_')}",
        rf"schreibe?\s+(?:den\s+text\s+)?(?:`(?P<what>[^`\n]+)`|[\"„](?P<that>[^\"“\n]+)[\"“]|'(?P<mark>[^'\n]+)')"
        rf"\s+(?:nach|in)\s+(?:die\s+datei\s+)?{_path('to_')}",
        acts.write,
        ("write `hello` to `hello.txt`", "schreibe `hallo` in `hallo.txt`"),
        "write_file",
        alone=True,
    ),
    Rule(
        rf"(?:list|show(?:\s+me)?|what\s+is\s+in|what's\s+in)\s+(?:(?:all\s+|the\s+)*(?:files|contents?|entries)\s+(?:in|of|below|under)\s+)?"
        rf"(?:the\s+)?(?:directory|folder|files\s+in)\s+{_FILE}|list\s+(?:(?:all\s+|the\s+)*(?:files|contents?)\s+(?:in|of|below)\s+)?"
        rf"{_path('dir_')}",
        rf"(?:zeige?(?:\s+mir)?|liste?)\s+(?:das\s+verzeichnis|den\s+ordner|die\s+dateien\s+in)\s+{_FILE}(?:\s+auf)?",
        acts.list_directory,
        ("list the directory `src`", "zeige das Verzeichnis `src`"),
        "list_directory",
        alone=True,
    ),
    Rule(
        r"(?:use|call)\s+(?:the\s+)?(?:tool\s+)?`?(?P<tool>[\w.-]+)`?\s+(?:with\s+)?(?P<args>\{.*\})",
        r"(?:nutze|rufe?)\s+(?:das\s+)?(?:werkzeug\s+)?`?(?P<tool>[\w.-]+)`?\s+(?:mit\s+)?(?P<args>\{.*\})(?:\s+auf)?",
        acts.call,
        alone=True,
    ),
    # -- attached text ---------------------------------------------------------------------------------------------------
    Rule(
        ASKS_FOR_SUMMARY.pattern,  # both languages in one; which it was is heard by the rule
        "",
        texts.summary,
    ),
    Rule(
        r"(?:count|how\s+many)\s+(?:the\s+)?(?:words|lines|characters|letters|sentences)\b.{0,60}",
        r"(?:z(?:ä|ae)hle?|wie\s*viele)\s+(?:die\s+)?(?:w(?:ö|oe)rter|zeilen|zeichen|buchstaben|s(?:ä|ae)tze)\b.{0,60}",
        texts.count,
    ),
    # -- what was said in this session -----------------------------------------------------------------------------------
    Rule(
        r"(?:my\s+name\s+is|my\s+name's|i\s+am\s+called|i'm\s+called|call\s+me|(?:i\s+am|i'm)(?=\s+(?-i:[A-Z][\w-]+$)))"
        r"\s+(?P<name>[^\W\d_][^\n,;.!?]{0,60}?)(?:\s+and\s+.+)?",
        r"(?:mein\s+name\s+ist|ich\s+hei(?:ß|ss)e|nenn\w*\s+mich)\s+(?P<name>[^\W\d_][^\n,;.!?]{0,60}?)(?:\s+und\s+.+)?",
        memory.told_name,
        ("my name is Ada", "ich heiße Ada"),
    ),
    Rule(
        r"(?:what\s+is|what's|whats|do\s+you\s+(?:know|remember)|tell\s+me|say)\s+my\s+name|who\s+am\s+i",
        r"(?:wie\s+hei(?:ß|ss)e\s+ich|wer\s+bin\s+ich|was\s+ist\s+mein\s+name|wie\s+ist\s+mein\s+name|wei(?:ß|ss)t\s+du\s+wie\s+ich\s+hei(?:ß|ss)e)",
        memory.asked_name,
        ("what is my name?", "wie heiße ich?"),
    ),
    Rule(
        r"(?:do\s+you\s+remember|what\s+do\s+you\s+(?:know|remember)|what\s+have\s+i\s+told\s+you|"
        r"what\s+did\s+i\s+(?:say|tell\s+you)(?=\s+(?:about|of|regarding)\s))"
        r"(?:(?:\s+(?:about|of|regarding))?\s+(?P<topic>[^\n]+))?",
        r"(?:was\s+wei(?:ß|ss)t\s+du|erinnerst\s+du\s+dich|was\s+hast\s+du\s+dir\s+gemerkt|was\s+habe?\s+ich\s+dir)"
        r"(?:\s+(?:(?:ü|ue)ber|von|an|zu))?(?:\s+(?P<topic>[^\n]+?))?(?:\s+(?:erz(?:ä|ae)hlt|gesagt))?",
        memory.recall,
        ("what do you know about the milk?", "was weißt du über die Milch?"),
    ),
    Rule(
        r"(?:remember|note|keep\s+in\s+mind|don't\s+forget)(?:\s+that|\s*:)?\s+(?P<note>.+)",
        r"(?:merke?\s+dir|denk\s+daran|vergiss\s+nicht|notiere?)(?:\s*[,:])?(?:\s+dass)?\s+(?P<note>.+)",
        memory.remember,
        ("remember that the milk is empty", "merk dir, dass die Milch leer ist"),
        alone=True,
    ),
    Rule(
        r"what\s+(?:did\s+i\s+(?:say|write|tell\s+you|ask(?:\s+you)?)\s+first|was\s+(?:the\s+first\s+thing\s+i\s+said|my\s+first\s+message))",
        r"was\s+(?:habe?\s+ich\s+(?:zuerst|als\s+erstes)\s+gesagt|war\s+meine\s+erste\s+nachricht)",
        memory.first,
        ("what did I say first?", "was habe ich zuerst gesagt?"),
    ),
    Rule(
        r"what\s+(?:did\s+i\s+(?:just\s+)?(?:say|write|tell\s+you|ask(?:\s+you)?)(?:\s+(?:last|just\s+now|before|earlier))?|was\s+my\s+last\s+message)",
        r"was\s+(?:habe?\s+ich\s+(?:zuletzt|gerade|eben|vorhin)\s+gesagt|war\s+meine\s+letzte\s+nachricht)",
        memory.last,
    ),
    Rule(
        r"(?:repeat\s+(?:that|it|yourself)|say\s+(?:that|it)\s+again|again|what\s+did\s+you\s+(?:just\s+)?say(?:\s+last)?|pardon|come\s+again)",
        r"(?:wiederhole?\s+(?:das|es|dich)|sag\s+das\s+noch\s*mal|noch\s*mal|was\s+hast\s+du\s+(?:gerade\s+|zuletzt\s+)?gesagt|wie\s+bitte)",
        memory.again,
        ("repeat that", "wiederhole das"),
    ),
    Rule(
        r"(?:(?:repeat|say)\s+after\s+me|repeat|say|echo)(?:\s*:)?\s+(?P<words>.+)",
        r"(?:sprich\s+mir\s+nach|wiederhole?|sage?|schreibe?)(?:\s*:)?\s+(?P<words>.+)",
        memory.echo,
        alone=True,
    ),
    # -- time ------------------------------------------------------------------------------------------------------------
    Rule(
        r"(?:what(?:'s|\s+is)?\s+(?:the\s+)?(?:current\s+)?time(?:\s+is\s+it)?(?:\s+(?:now|right\s+now))?|(?:what|tell\s+me)\s+(?:the\s+time|what\s+time\s+it\s+is)|how\s+late\s+is\s+it|time)",
        r"(?:wie\s+sp(?:ä|ae)t\s+(?:ist|haben\s+wir)(?:\s+es)?|wie\s*viel\s+uhr(?:\s+ist\s+es)?|uhrzeit|welche\s+uhrzeit(?:\s+ist\s+es)?)(?:\s+(?:gerade|jetzt))?",
        about.time,
        ("what time is it?", "wie spät ist es?"),
    ),
    Rule(
        r"(?:what(?:'s|\s+is)?\s+(?:the\s+|today's\s+)?(?:date|day|year|month)(?:\s+is\s+(?:it|today))?(?:\s+(?:today|now))?|"
        r"which\s+(?:day|date|year|month)\s+is\s+(?:it|today)|(?:today's\s+)?date|what\s+is\s+today)",
        r"(?:welche[rsn]?\s+(?:tag|datum|jahr|monat|wochentag)\s+(?:ist|haben\s+wir)(?:\s+(?:es|heute))*|datum|"
        r"der\s+wievielte\s+ist\s+heute|den\s+wievielten\s+haben\s+wir(?:\s+heute)?|was\s+ist\s+heute(?:\s+f(?:ü|ue)r\s+ein\s+tag)?)",
        about.date,
    ),
    # -- itself ----------------------------------------------------------------------------------------------------------
    Rule(
        r"help(?:\s+me)?|\?|what\s+can\s+you\s+do(?:\s+for\s+me)?|what\s+(?:are\s+your\s+)?(?:rules|commands|abilities)|how\s+do\s+(?:i|you)\s+(?:use\s+you|work)",
        r"hilfe|was\s+kannst\s+du(?:\s+(?:alles|f(?:ü|ue)r\s+mich\s+tun|so))*|wie\s+funktionierst\s+du",
        lambda asked: about.abilities(asked, [(each.needs, *each.example) for each in RULES if each.example[0]]),
    ),
    Rule(
        r"(?:who|what)\s+are\s+you(?:\s+(?:exactly|really))?|(?:introduce|describe)\s+yourself|tell\s+me\s+about\s+yourself|(?:what's|what\s+is)\s+your\s+name",
        r"(?:wer|was)\s+bist\s+du(?:\s+(?:eigentlich|genau))?|wie\s+hei(?:ß|ss)t\s+du|stell\s+dich\s+vor|wie\s+ist\s+dein\s+name",
        about.itself,
        ("who are you?", "wer bist du?"),
    ),
    Rule(
        r"are\s+you\s+(?:an?\s+|the\s+)?(?:ai|llm|language\s+model|real|human|robot|bot|machine|person|alive|conscious|intelligent|chatgpt|gpt[\w.-]*|claude|gemini|program)",
        r"bist\s+du\s+(?:eine?\s+|der\s+|die\s+)?(?:ki|sprachmodell|echt|mensch|roboter|bot|maschine|person|lebendig|bewusst|intelligent|chatgpt|claude|programm)",
        about.nature,
    ),
    Rule(
        r"(?:what|which)\s+(?:language\s+)?model\s+(?:are\s+you(?:\s+using)?|is\s+this|do\s+you\s+(?:use|run)|runs)|(?:what's|what\s+is)\s+your\s+model|"
        r"how\s+do\s+i\s+(?:get|use|configure|set|choose)\s+(?:a\s+)?(?:real|another|different|better)\s+model",
        r"(?:welches|was\s+f(?:ü|ue)r\s+ein)\s+(?:sprach)?modell\s+(?:bist|nutzt|verwendest|hast)\s+du|wie\s+bekomme\s+ich\s+ein\s+(?:echtes|anderes|besseres)\s+modell",
        about.model,
    ),
    Rule(
        r"where\s+(?:are\s+you(?:\s+running)?|do\s+you\s+(?:run|live))|(?:what|which)\s+(?:host|machine|computer)\s+(?:are\s+you\s+(?:on|running\s+on)|is\s+this)|(?:host|hostname)",
        r"wo\s+(?:bist|l(?:ä|ae)ufst|wohnst|lebst)\s+du|auf\s+welche[mr]\s+(?:rechner|maschine|computer)\s+l(?:ä|ae)ufst\s+du",
        about.place,
    ),
    Rule(
        r"(?:how\s+long\s+have\s+you\s+been\s+(?:running|up|awake|alive)|(?:what's|what\s+is)\s+your\s+uptime|uptime|when\s+(?:did\s+you\s+start|were\s+you\s+started))",
        r"(?:wie\s+lange\s+(?:l(?:ä|ae)ufst|bist)\s+du\s+schon(?:\s+(?:wach|an))?|seit\s+wann\s+l(?:ä|ae)ufst\s+du|laufzeit)",
        about.uptime,
        ("how long have you been running?", "wie lange läufst du schon?"),
    ),
    Rule(
        r"(?:what|which)\s+tools\s+(?:do\s+you\s+have|can\s+you\s+use|are\s+there)|(?:list\s+)?(?:your\s+)?tools|do\s+you\s+have\s+(?:any\s+)?tools",
        r"(?:welche|was\s+f(?:ü|ue)r)\s+werkzeuge\s+(?:hast|kennst)\s+du|werkzeuge|hast\s+du\s+werkzeuge",
        about.tools,
        ("which tools do you have?", "welche Werkzeuge hast du?"),
    ),
    Rule(
        r"how\s+many\s+messages\b.{0,60}|how\s+long\s+is\s+(?:this|our)\s+(?:session|conversation|chat)",
        r"wie\s*viele\s+nachrichten\b.{0,60}|wie\s+lang\s+ist\s+(?:diese|unser)\s*(?:sitzung|gespr(?:ä|ae)ch)",
        about.messages,
        ("how many messages are in this session?", "wie viele Nachrichten hat diese Sitzung?"),
    ),
    Rule(
        r"(?:what(?:'s|\s+is|\s+are)\s+your|show(?:\s+me)?\s+your|repeat\s+your)\s+(?:system\s+)?(?:prompt|instructions|persona)",
        r"(?:was\s+(?:ist|sind)\s+dein\w*|zeige?\s+(?:mir\s+)?dein\w*)\s+(?:system\w*|anweisungen|persona)",
        about.persona,
    ),
    Rule(
        r"how\s+are\s+you(?:\s+(?:doing|today|feeling))*|how's\s+it\s+going|how\s+do\s+you\s+(?:feel|do)|(?:your\s+)?(?:state|status)|are\s+you\s+(?:still\s+)?(?:ok|okay|there|here|well)",
        r"wie\s+geht(?:'s|\s+es)(?:\s+(?:dir|heute))*|wie\s+f(?:ü|ue)hlst\s+du\s+dich|bist\s+du\s+(?:noch\s+)?da|(?:dein\s+)?zustand",
        about.state,
    ),
    # -- sums and small talk ---------------------------------------------------------------------------------------------
    Rule(
        r"(?:(?:what\s+is|what's|calculate|compute|how\s+much\s+is|solve)\s+)?(?P<sum>[\d(+-].*)",
        r"(?:(?:was\s+ist|wie\s*viel\s+(?:ist|sind|macht)|rechne|berechne)\s+)?(?P<sum>[\d(+-].*)",
        about.worked_out,
        ("what is 12 * (3 + 4)?", "was ist 12 * (3 + 4)?"),
    ),
    Rule(
        r"(?P<greeting>hello|hi|hey|hiya|howdy|yo|greetings|good\s+(?:morning|afternoon|evening|day)|bonjour|salut|hola|buenos\s+d[ií]as|ciao|buongiorno|"
        r"ol[áa]|bom\s+dia|hej|hoi|ahoj|cze[śs][ćc]|привет|здравствуй(?:те)?|namaste|नमस्ते|merhaba|salve|ave|konnichiwa|こんにちは|你好|안녕(?:하세요)?|مرحبا|שלום|γεια)"
        r"(?:\s+(?:there|again|everyone|all|you|to\s+you))?(?:,?\s+(?P<whom>[\w-]{1,40}))?",
        r"(?P<greeting>hallo|servus|moin(?:\s+moin)?|gr(?:ü|ue)(?:ß|ss)\s+(?:dich|gott)|guten\s+(?:morgen|tag|abend)|tach|hallöchen|grüezi)(?:,?\s+(?P<whom>[\w-]{1,40}))?",
        about.greet,
    ),
    Rule(
        r"(?:thanks?(?:\s+you)?(?:\s+(?:very\s+much|a\s+lot|so\s+much))?|thx|cheers|great|nice|cool|ok(?:ay)?|good|well\s+done|perfect)",
        r"(?:danke(?:\s+(?:sch(?:ö|oe)n|sehr|dir))?|vielen\s+dank|super|prima|toll|gut(?:\s+gemacht)?|in\s+ordnung|alles\s+klar)",
        about.welcome,
    ),
    Rule(
        r"(?:good\s*)?bye(?:\s+bye)?|see\s+you(?:\s+(?:later|soon|tomorrow))?|good\s+night|farewell|exit|quit",
        r"tsch(?:ü|ue)(?:ß|ss)|auf\s+wiedersehen|bis\s+(?:bald|sp(?:ä|ae)ter|morgen|dann)|gute\s+nacht",
        about.farewell,
    ),
    Rule(r"test(?:ing)?|this\s+is\s+a\s+test|can\s+you\s+hear\s+me", r"teste?|h(?:ö|oe)rst\s+du\s+mich", about.heard),
    Rule(r"ping", r"", lambda _: Answer("pong")),
    Rule(
        r"(?:forget|delete|erase)\s+.+",
        r"(?:vergiss|l(?:ö|oe)sche?)\s+.+",
        memory.forget,
    ),
)

_COMPILED = tuple(
    (
        rule,
        tuple(
            (lang, re.compile(source, re.IGNORECASE | re.DOTALL))
            for lang, source in (("en", rule.en), ("de", rule.de))
            if source
        ),
    )
    for rule in RULES
)
_POLITE_BEFORE = re.compile(
    r"(?:(?:please|could\s+you|can\s+you|would\s+you|will\s+you|can\s+i\s+ask(?:\s+you)?|so|well|and|now|ok(?:ay)?,|"
    r"bitte|kannst\s+du|k(?:ö|oe)nntest\s+du|und|also)[\s,]+)+",
    re.IGNORECASE,
)
_POLITE_AFTER = re.compile(r"[\s,]+(?:please|thanks|thank\s+you|bitte|danke)$", re.IGNORECASE)
_GREETING_BEFORE = re.compile(
    r"(?:hello|hi|hey|hallo|moin|servus|guten\s+(?:morgen|tag|abend)|good\s+(?:morning|evening|afternoon))(?:\s+[\w-]+)?\s*[,.!:]+\s*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?])\s+|\n+|,?\s+(?:and|und)\s+(?=(?:who|what|how|where|when|which|wer|was|wie|wo|welche[rsnm]?)\b)",
    re.IGNORECASE,
)
SENTENCES_MAX = 4


def spoken(words: str) -> str:
    """What was said, less politeness around it and marks at its end."""
    words = _POLITE_AFTER.sub("", words.strip().rstrip(" \t\n.!?:"))
    return _POLITE_BEFORE.sub("", words, count=1) if _POLITE_BEFORE.match(words) else words


def apply(words: str, conversation: Conversation, *, alone: bool = True) -> Answer | None:
    """The answer of the first rule that fits all of `words`, or None. With alone=False, rules that act are left out."""
    forms = dict.fromkeys((words.strip(), spoken(words)))
    for rule, patterns in _COMPILED:
        if rule.alone and not alone:
            continue
        for lang, pattern in patterns:
            for form in forms:
                if found := pattern.fullmatch(form):
                    answer = rule.answer(Asked(found, lang, conversation))
                    if answer is not None:
                        return answer
    return None


def resume(words: str, conversation: Conversation) -> Answer | None:
    """What the rule that sent for tools does with their results; None if it only wants them told."""
    rest = words[found.end() :] if (found := _GREETING_BEFORE.match(words)) else words
    for form in dict.fromkeys(each for text in (words, rest) for each in (text.strip(), spoken(text))):
        for rule, patterns in _COMPILED:
            for lang, pattern in patterns if rule.then else ():
                if rule.then and (match := pattern.fullmatch(form)):
                    return rule.then(Asked(match, lang, conversation))
    return None


def apply_all(words: str, conversation: Conversation) -> Answer | None:
    """As `apply`; else what follows a greeting; else sentence by sentence, if every sentence has an answer."""
    if (answer := apply(words, conversation)) is not None:
        return answer
    greeting = _GREETING_BEFORE.match(words)
    if greeting and (answer := apply(words[greeting.end() :], conversation)) is not None:
        return answer
    sentences = [each for each in _SENTENCE_END.split(words) if each.strip()]
    if not 1 < len(sentences) <= SENTENCES_MAX:
        return None
    answers = [apply(each, conversation, alone=False) for each in sentences]
    texts = [each.text for each in answers if each is not None]
    return Answer(" ".join(dict.fromkeys(texts))) if len(texts) == len(sentences) else None
