"""How well memories are found: `python bench/recall.py CONVERSATIONS.json [--keep FILE]`.

CONVERSATIONS.json is LoCoMo's format (Maharana et al. 2024): a list of {"conversation": {"session_N": [{"dia_id", "speaker",
"text", "blip_caption"?}], "session_N_date_time"}, "qa": [{"question", "evidence": [dia_id], "category"}]}. Each conversation
is imported into an agent of its own with `animactl memory import --wait`, its questions are asked with `memory search
--queries`, and it is counted which of the turns that answer a question are among the first ones found. Categories 1 to 4;
questions without an answer in the conversation (5) say nothing about finding. Beside it: FTS5's own BM25 over the same texts.
"""

import argparse
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from house import REFLEX, House, environ  # noqa: E402
from tables import show  # noqa: E402

CUTS = (5, 10, 20)
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}


def turns(conversation: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of an import, in the order they were said."""
    rows = []
    sessions = sorted(int(name.split("_")[1]) for name in conversation if re.fullmatch(r"session_\d+", name))
    for number in sessions:
        for turn in conversation[f"session_{number}"]:
            text = turn["text"] + (f" [shares {turn['blip_caption']}]" if turn.get("blip_caption") else "")
            row = {"id": turn["dia_id"], "ts": conversation[f"session_{number}_date_time"], "session": f"session_{number}"}
            rows.append({**row, "speaker": turn["speaker"], "text": text})
    return rows


def questions(told: dict[str, Any], known: set[str]) -> list[dict[str, Any]]:
    """Those of categories 1 to 4 whose evidence is in the conversation."""
    found = [{**each, "evidence": [turn for turn in each["evidence"] if turn in known]} for each in told["qa"]]
    return [each for each in found if each["category"] in CATEGORIES and each["evidence"]]


def by_anima(house: House, agent: str, rows: list[dict[str, Any]], asked: list[str], k: int) -> list[list[str]]:
    """The ids that `animactl` finds for each question."""
    ctl = [str(Path(sys.executable).with_name("animactl")), "--home", str(house.root), "memory"]
    with tempfile.TemporaryDirectory() as folder:
        lines, queries = Path(folder) / "life.jsonl", Path(folder) / "queries.jsonl"
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
        queries.write_text("".join(json.dumps({"query": each}) + "\n" for each in asked))
        run([*ctl, "import", agent, str(lines), "--wait"])
        out = run([*ctl, "search", agent, "--queries", str(queries), "-k", str(k)])
    return [[hit["id"] for hit in json.loads(line)["hits"]] for line in out.splitlines()]


def run(command: list[str]) -> str:
    return subprocess.run(command, env=environ(REFLEX), check=True, capture_output=True, text=True).stdout


def by_fts5(rows: list[dict[str, Any]], asked: list[str], k: int) -> list[list[str]]:
    """The ids that plain BM25 with Porter's stems finds."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'porter unicode61')")
    database.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", [(at, row["text"]) for at, row in enumerate(rows, 1)])
    found = []
    for each in asked:
        wanted = " OR ".join(f'"{word}"' for word in dict.fromkeys(re.findall(r"\w+", each.casefold())))
        hits = database.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (wanted, k))
        found.append([rows[at - 1]["id"] for (at,) in hits])
    return found


def counted(asked: list[dict[str, Any]], found: list[list[str]]) -> dict[str, float]:
    """Recall at each cut, of each category at 10, how often anything is among 10, and the mean reciprocal rank, in %."""
    sums: dict[str, list[float]] = {}
    for question, ids in zip(asked, found, strict=True):
        evidence = set(question["evidence"])
        for cut in CUTS:
            sums.setdefault(f"recall@{cut}", []).append(len(evidence & set(ids[:cut])) / len(evidence))
        sums.setdefault(f"{CATEGORIES[question['category']]}@10", []).append(len(evidence & set(ids[:10])) / len(evidence))
        sums.setdefault("hit@10", []).append(float(bool(evidence & set(ids[:10]))))
        first = next((at for at, each in enumerate(ids, 1) if each in evidence), 0)
        sums.setdefault("MRR", []).append(1 / first if first else 0.0)
    return {name: 100 * sum(values) / len(values) for name, values in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("conversations", type=Path)
    parser.add_argument("-k", type=int, default=50, help="so many are asked for, for the mean reciprocal rank")
    told = parser.parse_args()
    conversations = json.loads(told.conversations.read_text())
    asked: list[dict[str, Any]] = []
    ours: list[list[str]] = []
    plain: list[list[str]] = []
    with House(len(conversations), REFLEX) as house:
        for at, each in enumerate(conversations):
            rows = turns(each["conversation"])
            wanted = questions(each, {row["id"] for row in rows})
            texts = [question["question"] for question in wanted]
            ours += by_anima(house, house.agents[at].removeprefix("agent:"), rows, texts, told.k)
            plain += by_fts5(rows, texts, told.k)
            asked += wanted
    results = {"anima": counted(asked, ours), "FTS5 BM25": counted(asked, plain)}
    names = list(results["anima"])
    show(
        f"{len(asked)} questions", ["%", *names], [[who, *(f"{of[name]:.1f}" for name in names)] for who, of in results.items()]
    )


if __name__ == "__main__":
    main()
